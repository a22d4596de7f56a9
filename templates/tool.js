// The confusion matrix at any threshold and the predictive values at any share of pneumonia.
// Thresholds and logits are whole hundredths, so that what is counted here is what Python counts.
const tool = document.getElementById("tool");
if (tool) {
  const { labels, models } = JSON.parse(tool.querySelector("script").textContent);
  const part = name => tool.querySelector(`[data-part=${name}]`);
  const rules = [...tool.querySelectorAll("[data-rule]")];
  const percent = value => isNaN(value) ? "–" : (100 * value).toFixed(1);
  let logits, cut, share = labels.filter(label => label).length / labels.length;
  const show = () => {
    const found = { tp: 0, fn: 0, fp: 0, tn: 0 };
    logits.forEach((logit, i) => { found[labels[i] ? (logit > cut ? "tp" : "fn") : logit > cut ? "fp" : "tn"]++; });
    const sensitivity = found.tp / (found.tp + found.fn), specificity = found.tn / (found.tn + found.fp);
    const hit = share * sensitivity, alarm = (1 - share) * (1 - specificity), clear = (1 - share) * specificity;
    const words = {
      ...found, sensitivity: percent(sensitivity), specificity: percent(specificity),
      ppv: percent(hit / (hit + alarm)), npv: percent(clear / (clear + share - hit)), shown: `${percent(share)} %`,
      logit: `logit ${(cut / 100).toFixed(2).replace("-", "\u2212")}, probability ${percent(1 / (1 + Math.exp(-cut / 100)))} %`,
      thousand: `Of 1,000 people examined, ${Math.round(1000 * share)} have pneumonia: ${Math.round(1000 * hit)} are found, ` +
        `${Math.round(1000 * share) - Math.round(1000 * hit)} missed; ${Math.round(1000 * alarm)} without it are called ill too.`,
    };
    for (const [name, text] of Object.entries(words)) part(name).textContent = text;
    part("threshold").value = cut;
    part("share").value = 100 * share;
    part("threshold").setAttribute("aria-valuetext", words.logit);
    part("share").setAttribute("aria-valuetext", words.shown);
    rules.forEach((rule, i) => rule.setAttribute("aria-pressed", cut === models[part("model").value].thresholds[i]));
  };
  const choose = () => {
    const one = models[part("model").value];
    logits = new Int16Array(Uint8Array.from(atob(one.logits), sign => sign.charCodeAt(0)).buffer);
    part("threshold").min = 5 * Math.floor((Math.min(...logits) - 1) / 5);
    part("threshold").max = 5 * Math.ceil(Math.max(...logits) / 5);
    rules.forEach((rule, i) => { rule.disabled = one.thresholds[i] === null; });
    cut = one.thresholds[0];
    show();
  };
  part("model").append(...models.map((one, i) => new Option(one.name, i)));
  part("model").addEventListener("change", choose);
  part("threshold").addEventListener("input", event => { cut = Number(event.target.value); show(); });
  part("share").addEventListener("input", event => { share = event.target.value / 100; show(); });
  rules.forEach((rule, i) => rule.addEventListener("click", () => { cut = models[part("model").value].thresholds[i]; show(); }));
  choose();
  tool.hidden = false;
}
