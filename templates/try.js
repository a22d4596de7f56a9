// Try a film: models answer on one film of 64×64 pixels, again after each stroke of a brush.
// Pixels are whole greys, 0-255, row by row; a model sees them divided by 255, as in training.
const tryBox = document.querySelector(".try");
if (tryBox) {
  const given = JSON.parse(document.getElementById("try-data").textContent);
  const SIZE = given.size;
  const part = name => tryBox.querySelector(`[data-part=${name}]`);
  const bytes = text => Uint8Array.from(atob(text), sign => sign.charCodeAt(0));
  const floats = text => new Float32Array(bytes(text).buffer);
  const signed = value => value.toFixed(2).replace("-", "\u2212");

  // ---- the models: Float32Array of SIZE × SIZE in 0-1 -> logit

  // Model 20 has no activation, so its two layers are one weight per pixel.
  const linear = floats(given.models.linear.weights), bias = given.models.linear.bias;
  const linearLogit = film => film.reduce((sum, value, i) => sum + value * linear[i], bias);

  // Logistic regression on the means of CELLS × CELLS squares, in greys; the last number is the bias.
  const thumbnail = floats(given.models.thumbnail.weights);
  const CELLS = Math.sqrt(thumbnail.length - 1);
  const thumbnailLogit = film => {
    const side = SIZE / CELLS;
    return film.reduce((sum, value, i) => {
      const cell = Math.floor(i / SIZE / side) * CELLS + Math.floor((i % SIZE) / side);
      return sum + thumbnail[cell] * value * 255 / (side * side);
    }, thumbnail[thumbnail.length - 1]);
  };

  // Equal grey levels (xray/equalise.py): each pixel's rank, those of one grey in a scattered order.
  function equalised(film) {
    const result = new Float32Array(film.length);
    const order = [...given.scattered].sort((one, other) => film[one] - film[other]);
    order.forEach((pixel, rank) => { result[pixel] = Math.floor(rank * 256 / film.length) / 255; });
    return result;
  }

  // TinyVGG, layer by layer. Values lie channel by channel, each row by row.
  function convolve(input, channels, size, weight, bias) {  // 3×3, padding 1
    const output = new Float32Array(bias.length * size * size);
    for (let filter = 0; filter < bias.length; filter++) {
      const target = output.subarray(filter * size * size, (filter + 1) * size * size).fill(bias[filter]);
      for (let channel = 0; channel < channels; channel++) {
        const source = input.subarray(channel * size * size, (channel + 1) * size * size);
        for (let down = -1; down <= 1; down++) {
          for (let right = -1; right <= 1; right++) {
            const factor = weight[((filter * channels + channel) * 3 + down + 1) * 3 + right + 1];
            const firstX = Math.max(0, -right), lastX = Math.min(size, size - right);
            const firstY = Math.max(0, -down), lastY = Math.min(size, size - down);
            for (let y = firstY; y < lastY; y++) {
              const row = y * size, other = (y + down) * size + right;
              for (let x = firstX; x < lastX; x++) target[row + x] += factor * source[other + x];
            }
          }
        }
      }
    }
    return output;
  }

  function poolAndCut(input, channels, size) {  // the largest of each 2×2, then ReLU
    const half = size / 2;
    return new Float32Array(channels * half * half).map((_, i) => {
      const row = Math.floor(i / half), at = 2 * row * size + 2 * (i % half);  // rows of all channels
      return Math.max(0, input[at], input[at + 1], input[at + size], input[at + size + 1]);
    });
  }

  function cnnLogit(film, tensors) {
    let value = film, channels = 1, size = SIZE;
    for (const block of ["block_1", "block_2"]) {
      for (const layer of ["0", "2"]) {
        const bias = tensors[`${block}.${layer}.bias`];
        value = convolve(value, channels, size, tensors[`${block}.${layer}.weight`], bias);
        channels = bias.length;
        if (layer === "0") value = value.map(one => Math.max(0, one));
      }
      value = poolAndCut(value, channels, size);
      size /= 2;
    }
    const weights = tensors["classifier.1.weight"];
    return value.reduce((sum, one, i) => sum + one * weights[i], tensors["classifier.1.bias"][0]);
  }

  function cnn({ tensors }) {
    const found = Object.fromEntries(Object.entries(tensors).map(([name, text]) => [name, floats(text)]));
    return film => cnnLogit(film, found);
  }

  const answering = { linear: linearLogit, cnn: cnn(given.models.cnn), thumbnail: thumbnailLogit };
  if (given.models.equalised) {
    const twin = cnn(given.models.equalised);
    answering.equalised = film => twin(equalised(film));
  }
  const models = Object.entries(answering).map(([name, logit]) => ({ ...given.models[name], row: part(name), logit }));

  // ---- the film, the brush, the answers

  const mean = bytes(given.mean), films = given.films;
  const view = part("film").getContext("2d", { willReadFrequently: true });
  const map = part("map").getContext("2d");
  const inside = (i, [top, bottom, left, right]) => {
    const y = Math.floor(i / SIZE), x = i % SIZE;
    return y >= top && y < bottom && x >= left && x < right;
  };
  let greys = new Uint8ClampedArray(mean), label = null, earlier = [], before = [], drawing = false, asked = 0;

  function paint(context, colour) {
    const image = context.createImageData(SIZE, SIZE);
    for (let i = 0; i < SIZE * SIZE; i++) image.data.set([...colour(i), 255], 4 * i);
    context.putImageData(image, 0, 0);
  }

  function show() {
    const film = Float32Array.from(greys, grey => grey / 255);
    const logits = models.map(model => model.logit(film));
    if (!earlier.length) before = logits;
    models.forEach((model, i) => {
      const probability = 1 / (1 + Math.exp(-logits[i] / model.temperature));
      const answer = logits[i] > model.threshold ? "pneumonia" : "normal";
      const cells = [signed(logits[i]), `${(100 * probability).toFixed(1)} %`, answer, signed(before[i])];
      cells.forEach((text, column) => { model.row.cells[column + 1].textContent = text; });
      Object.assign(model.row.dataset, { answer, logit: logits[i] });
    });
    const seen = part("equal")?.checked ? equalised(film).map(value => 255 * value) : greys;
    paint(view, i => [seen[i], seen[i], seen[i]]);
    const shares = linear.map((weight, i) => weight * (greys[i] - mean[i]) / 255);
    const most = shares.reduce((largest, share) => Math.max(largest, Math.abs(share)), 1e-9);
    paint(map, i => {
      const fade = 255 * (1 - Math.abs(shares[i]) / most);
      return shares[i] > 0 ? [255, 105 + 150 * fade / 255, fade] : [fade, 105 + 150 * fade / 255, 255];
    });
    part("undo").disabled = earlier.length === 0;
    if (drawing) return;  // said aloud once a stroke ends, not while it is drawn
    const words = models.map(model => `${model.name}: ${model.row.dataset.answer}, ${model.row.cells[2].textContent}`);
    part("said").textContent = words.join("; ");
  }

  function remember() {
    earlier.push(greys);
    greys = greys.slice();
  }

  function take(pixels, truth, words, pressed) {
    [greys, label, earlier] = [pixels, truth, []];
    part("name").textContent = words;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === pressed));
    show();
  }

  // ---- films of the row, and a person's own

  async function pixelsOf(address) {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  // The weights with which one output pixel takes part of a line: a triangle as wide as two of its
  // own pixels, which is how films are made smaller for training (bilinear, antialiased).
  function triangle(length, position) {
    const scale = Math.max(length / SIZE, 1), centre = (position + 0.5) * length / SIZE;
    const first = Math.max(0, Math.floor(centre - scale + 0.5));
    const last = Math.min(length, Math.floor(centre + scale + 0.5));
    const weights = [];
    for (let i = first; i < last; i++) weights.push(Math.max(0, 1 - Math.abs(i + 0.5 - centre) / scale));
    const sum = weights.reduce((total, one) => total + one, 0);
    return { first, weights: weights.map(one => one / sum) };
  }

  function smaller({ data, width, height }) {  // RGBA of any size -> greys of SIZE × SIZE
    const grey = new Float32Array(width * height);
    for (let i = 0; i < grey.length; i++) {
      grey[i] = (19595 * data[4 * i] + 38470 * data[4 * i + 1] + 7471 * data[4 * i + 2] + 32768) >> 16;
    }
    const narrow = new Float32Array(SIZE * height), result = new Uint8ClampedArray(SIZE * SIZE);
    for (let x = 0; x < SIZE; x++) {
      const { first, weights } = triangle(width, x);
      for (let y = 0; y < height; y++) {
        narrow[y * SIZE + x] = weights.reduce((sum, one, i) => sum + one * grey[y * width + first + i], 0);
      }
    }
    for (let y = 0; y < SIZE; y++) {
      const { first, weights } = triangle(height, y);
      for (let x = 0; x < SIZE; x++) {
        result[y * SIZE + x] = Math.round(weights.reduce((sum, one, i) => sum + one * narrow[(first + i) * SIZE + x], 0));
      }
    }
    return result;
  }

  const buttons = films.map((film, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.innerHTML = `<img src="${film.png}" alt="" width="64" height="64"><span></span>`;
    button.lastChild.textContent = `${film.label}${film.missed ? ", always missed" : ""}`;
    button.title = film.name;
    button.addEventListener("click", () => pick(number));
    part("films").append(button);
    return button;
  });

  async function pick(number) {
    const film = films[number];
    take(smaller(await pixelsOf(film.png)), film.label, `${film.name}: ${film.label}`, number);
  }

  async function own(file) {
    if (!file) return;
    const address = URL.createObjectURL(file);
    try {
      take(smaller(await pixelsOf(address)), null, `${file.name}, at ${SIZE}×${SIZE}`, -1);
    } catch {
      part("name").textContent = `${file.name}: not a picture that this browser can show; give a PNG or JPEG`;
    } finally {
      URL.revokeObjectURL(address);
    }
  }
  part("file").addEventListener("change", event => own(event.target.files[0]));
  tryBox.addEventListener("dragover", event => event.preventDefault());
  tryBox.addEventListener("drop", event => {
    event.preventDefault();
    own(event.dataTransfer.files[0]);
  });

  // ---- painting

  function change(rule) {  // rule(i): the new grey of pixel i
    remember();
    greys.forEach((_, i) => { greys[i] = rule(i); });
    show();
  }
  const edge = i => !inside(i, given.inner);
  part("no-lungs").addEventListener("click", () => change(i => inside(i, given.lungs) ? mean[i] : greys[i]));
  part("no-edge").addEventListener("click", () => change(i => edge(i) ? mean[i] : greys[i]));
  part("other-edge").addEventListener("click", async () => {
    const mine = label ?? models[0].row.dataset.answer.toUpperCase();
    const donor = smaller(await pixelsOf(films.find(film => film.label !== mine).png));
    change(i => edge(i) ? donor[i] : greys[i]);
  });
  part("darker").addEventListener("click", () => change(i => 0.8 * greys[i]));
  part("equal")?.addEventListener("change", show);
  part("undo").addEventListener("click", () => {
    greys = earlier.pop();
    show();
  });

  function stroke(event) {
    const frame = part("film").getBoundingClientRect(), reach = Number(part("width").value) / 2;
    const x = (event.clientX - frame.left) / frame.width * SIZE, y = (event.clientY - frame.top) / frame.height * SIZE;
    const grey = Number(part("grey").value);
    greys.forEach((_, i) => {
      if (Math.hypot(i % SIZE + 0.5 - x, Math.floor(i / SIZE) + 0.5 - y) <= reach) greys[i] = grey;
    });
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(show);  // once a frame, however many points a stroke has
  }
  part("film").addEventListener("pointerdown", event => {
    part("film").setPointerCapture(event.pointerId);
    remember();
    drawing = true;
    stroke(event);
  });
  part("film").addEventListener("pointermove", event => { if (drawing) stroke(event); });
  part("film").addEventListener("lostpointercapture", () => {
    drawing = false;
    show();
  });

  tryBox.hidden = false;
  tryBox.previousElementSibling.hidden = true;  // the picture that stands there without a script
  pick(0);
}
