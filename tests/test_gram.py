"""The Gram matrix against integer arithmetic, and training in sample space against the plain
loop.
"""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from xray import files, gram, samplespace
from xray.engine import HISTORY, batch_order, pos_weight
from xray.models import build
from xray.samplespace import Job, fit_together, recover_weights
from xray.specs import LEARNING_RATE_SEARCH, MODELS

SIZE, N = 16, 120
SGD = [name for name, spec in MODELS.items() if samplespace.trains_in_sample_space(spec)]


def make_images(n=N, size=SIZE, seed=0):
    """Noise images, brighter in one half for label 1, and their labels."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.7).astype(np.int64)
    images = generator.integers(0, 200, (n, 1, size, size))
    images[labels == 1, :, : size // 2] += 55
    return images.astype(np.uint8), labels


IMAGES, LABELS = make_images()
GRAM = gram.compute_gram(IMAGES)


def make_split(seed=0, sizes=(75, 25, 20)):
    """Rows of a split; seed 0 leaves them in order."""
    rows = np.arange(N) if seed == 0 else np.random.default_rng(seed).permutation(N)
    ends = np.cumsum(sizes)
    return {
        "train": rows[: ends[0]],
        "validation": rows[ends[0] : ends[1]],
        "test": rows[ends[1] : ends[2]],
    }


def livelier(spec, epochs=4):
    """A small image's weights barely move at the paper's rates: raise them, shorten the run."""
    rate = spec.learning_rate * (100 if "@" not in spec.id else 5)
    return replace(spec, learning_rate=rate, epochs=epochs)


def direct(job, images=IMAGES, labels=LABELS):
    """The plain loop in float32: history, logits and model."""
    pixels, truth = torch.from_numpy(images) / 255, torch.from_numpy(labels).float()
    rows = {part: torch.from_numpy(np.asarray(index)) for part, index in job.index.items()}
    spec, train, validation = job.spec, rows["train"], rows["validation"]
    model = build(spec, images.shape[-1], job.seed)
    optimizer = torch.optim.SGD(
        model.parameters(), spec.learning_rate, weight_decay=spec.weight_decay
    )
    weight = torch.tensor(pos_weight(spec, truth[train]))
    history = {name: [] for name in HISTORY}
    for epoch in range(spec.epochs):
        loss_sum = correct = 0
        for batch in train[batch_order(len(train), job.seed, epoch)].split(spec.batch_size):
            logits = model(pixels[batch])
            loss = binary_cross_entropy_with_logits(logits, truth[batch], pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(batch)
            correct += ((logits > 0) == (truth[batch] > 0)).sum().item()
        with torch.no_grad():
            logits = model(pixels[validation])
        loss = binary_cross_entropy_with_logits(logits, truth[validation], pos_weight=weight).item()
        accuracy = ((logits > 0) == (truth[validation] > 0)).float().mean().item()
        values = loss_sum / len(train), correct / len(train), loss, accuracy
        if not np.isfinite(values).all():
            break
        for name, value in zip(HISTORY, values):
            history[name].append(value)
    with torch.no_grad():
        return (
            history,
            {part: model(pixels[rows[part]]).numpy() for part in ("validation", "test")},
            model,
        )


def together(jobs, **options):
    """fit_together's results in the order of the jobs."""
    results = {result.job: result for result in fit_together(jobs, GRAM, IMAGES, LABELS, **options)}
    return [results[job] for job in jobs]


def same_history(one, other, tolerance):
    for name in HISTORY:
        np.testing.assert_allclose(
            one[name], other[name], rtol=tolerance if "loss" in name else 1e-6, err_msg=name
        )


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks and waves so small that these few images and runs fill several."""
    monkeypatch.setattr(samplespace, "BLOCK", 32)
    monkeypatch.setattr(samplespace, "STREAMS", 3)


def test_specs():
    assert len(SGD) == 22 and not {"17", "18", "10", "19"} & set(SGD)


@pytest.mark.parametrize(
    "specs",
    [[MODELS[name] for name in SGD], list(LEARNING_RATE_SEARCH.values())],
    ids=["tables", "search"],
)
def test_every_spec_gives_what_the_direct_loop_gives(specs):
    jobs = [Job(livelier(spec), 4, make_split()) for spec in specs]  # with seed 4 model 7 is alive
    results = together(jobs)
    weights = dict(recover_weights(results, IMAGES))
    moved = 0
    for job, result in zip(jobs, results):
        history, logits, model = direct(job)
        assert result.status == "finished"
        same_history(result.history, history, 1e-4)
        for part, expected in logits.items():
            np.testing.assert_allclose(result.logits[part], expected, rtol=1e-3, atol=1e-4)
        moved += abs(history["train_loss"][-1] / history["train_loss"][0] - 1) > 0.01
        fresh = build(job.spec, SIZE)
        fresh.load_state_dict(weights[result])
        for name, parameter in model.state_dict().items():
            error = (fresh.state_dict()[name] - parameter).norm() / parameter.norm()
            assert error < 1e-3, (job.spec.id, name)
    assert moved > len(jobs) / 3  # the comparison would mean nothing if nothing moved


def test_together_gives_what_each_gives_alone():
    """Different seeds, splits, lengths of splits and epochs, batch sizes, widths and depths."""
    names = ["0", "5", "14", "1", "7", "8", "27b", "28b", "24b"]
    splits = [make_split(), make_split(1, (70, 30, 20)), make_split(2, (64, 20, 10))]
    jobs = [
        Job(livelier(MODELS[name], 2 + i % 3), i % 2, splits[i % 3])
        for i, name in enumerate(names * 2)
    ]
    jobs.append(Job(replace(livelier(MODELS["15"]), batch_size=24, weight_decay=0.2), 1, splits[1]))
    for job, result in zip(jobs, together(jobs)):
        (alone,) = together([job])
        history, logits, _ = direct(job)
        assert len(result.history["train_loss"]) == job.spec.epochs
        same_history(result.history, alone.history, 1e-5)
        same_history(result.history, history, 1e-4)
        for part, expected in logits.items():
            assert result.logits[part].dtype == np.float32
            np.testing.assert_allclose(
                result.logits[part], alone.logits[part], rtol=1e-5, atol=1e-6
            )
            np.testing.assert_allclose(result.logits[part], expected, rtol=1e-3, atol=1e-4)


def test_a_run_that_diverges_leaves_the_others_alone():
    wild = [
        Job(replace(MODELS[name], learning_rate=rate, epochs=4), 1, make_split())
        for name, rate in (("1", 3.0), ("2", 100.0), ("27b", 1e8))
    ]
    calm = Job(livelier(MODELS["1"]), 1, make_split())
    results = together([*wild, calm])
    for job, result in zip(wild, results):
        assert result.status == "diverged" and all(
            len(part) == 0 for part in result.logits.values()
        )
        expected, _, _ = direct(job)
        assert len(result.history["train_loss"]) == len(expected["train_loss"]) < 4
    assert results[-1].status == "finished"
    same_history(results[-1].history, together([calm])[0].history, 1e-5)


def test_a_dead_net_stays_dead():
    job = Job(livelier(MODELS["28b"]), 0, make_split())
    (alive,) = together([job])
    dead = {name: tensor.clone() for name, tensor in alive.tensors.items()}
    dead[max(name for name in dead if name.endswith("bias"))] -= 1000
    begun = {name: values[:1] for name, values in alive.history.items()}
    (result,) = together([job], resume=lambda job: (dead, begun))
    assert not result.logits["test"].any()
    np.testing.assert_allclose(result.history["train_loss"][1:], np.log(2))
    # weight decay goes on: 3 epochs of 2 batches
    factor = (1 - 0.1 * job.spec.learning_rate) ** (3 * 2)
    np.testing.assert_allclose(result.tensors["scale"], dead["scale"] * factor)


def test_resumed_runs_go_on_as_if_never_interrupted():
    jobs = [
        Job(livelier(MODELS[name], epochs), seed, make_split(seed))
        for name, epochs, seed in (("0", 3, 0), ("27b", 5, 0), ("6", 5, 1), ("15", 5, 0))
    ]
    kept, seen = {}, []

    def save(job, tensors, history):
        kept[job, len(history["train_loss"])] = tensors, history

    whole = together(
        jobs, save=save, on_epoch=lambda job, epoch, values: seen.append((job, epoch, values))
    )
    assert sorted(epoch for job, epoch, _ in seen if job is jobs[1]) == [0, 1, 2, 3, 4]
    for job, epoch, values in seen:
        assert values["train_loss"] == whole[jobs.index(job)].history["train_loss"][epoch]
    for one, other in zip(whole, together(jobs, resume=lambda job: kept[job, 2])):
        assert one.history == other.history
        assert all(np.array_equal(one.logits[part], other.logits[part]) for part in one.logits)
        assert all(
            torch.equal(one.tensors[name], other.tensors[name])
            for name in one.tensors
            if name != "seconds"
        )
    mixed = {jobs[0]: 3, jobs[1]: 1, jobs[2]: 4}  # at different epochs: one finished, one not begun
    for one, other in zip(
        whole, together(jobs, resume=lambda job: kept.get((job, mixed.get(job))))
    ):
        same_history(one.history, other.history, 1e-9)
        np.testing.assert_allclose(one.logits["test"], other.logits["test"], rtol=1e-5, atol=1e-7)


def test_weights_are_recovered_in_several_passes(monkeypatch):
    jobs = [Job(livelier(MODELS["27b"]), seed, make_split(seed)) for seed in range(3)]
    results = together(jobs)
    expected = dict(recover_weights(results, IMAGES))
    monkeypatch.setattr(samplespace, "WEIGHTS", 10 * SIZE**2 * 4)
    monkeypatch.setattr(gram, "BUFFER", 7 * SIZE**2)
    monkeypatch.setattr(gram, "TILE", 100)
    for result, state in recover_weights(results, IMAGES):
        model = build(result.job.spec, SIZE)
        model.load_state_dict(state)
        rows = result.job.index["test"]
        with torch.no_grad():
            logits = model(torch.from_numpy(IMAGES[rows]) / 255)
        np.testing.assert_allclose(logits, result.logits["test"], rtol=1e-4, atol=1e-5)
        assert all(torch.allclose(state[name], expected[result][name], atol=1e-6) for name in state)
    assert list(recover_weights([], IMAGES)) == []


def test_other_models_are_refused():
    for name in ("17", "10"):
        with pytest.raises(ValueError, match=f"model {name} cannot"):
            together([Job(MODELS[name], 0, make_split())])


def exact(images):
    pixels = images.reshape(len(images), -1).astype(np.int64)
    return pixels @ pixels.T


@pytest.mark.parametrize("int8", [True, False])
@pytest.mark.parametrize(
    "n, size, block, buffer", [(67, 20, 32, 67 * 150), (3, 4, 512, 2**20), (130, 12, 64, 1)]
)
def test_gram_is_exact(monkeypatch, int8, n, size, block, buffer):
    """Blocks and strips that do not divide the images; extreme pixels; both ways to multiply."""
    monkeypatch.setattr(gram, "SIDE", block)
    monkeypatch.setattr(gram, "BUFFER", buffer)
    monkeypatch.setattr(gram, "FLOAT32_COLUMNS", 30)
    monkeypatch.setattr(gram, "_int8_is_faster", lambda device: int8)
    images, _ = make_images(n, size)
    images[0], images[1] = 0, 255
    calls = []
    matrix = gram.compute_gram(images, progress=lambda done, total: calls.append((done, total)))
    assert matrix.dtype == torch.float64 and np.array_equal(matrix.numpy(), exact(images))
    assert calls[-1][0] == calls[-1][1] == len(calls)


def test_gram_of_many_pixels_does_not_overflow(monkeypatch):
    images = np.zeros((2, 1, 400, 400), np.uint8)
    images[1] = 255
    for int8 in (True, False):
        monkeypatch.setattr(gram, "_int8_is_faster", lambda device, int8=int8: int8)
        assert np.array_equal(gram.compute_gram(images).numpy(), exact(images))


def test_int8_is_given_up_where_it_is_wrong_or_missing(monkeypatch):
    gram._int8_is_faster.cache_clear()
    monkeypatch.setattr(
        gram, "_multiply_int8", lambda left, right: (left.long() @ right.long().T).int() + 1
    )
    assert not gram._int8_is_faster("cpu")
    gram._int8_is_faster.cache_clear()
    monkeypatch.undo()
    monkeypatch.delattr(torch, "_int_mm")
    assert not gram._int8_is_faster("cpu")
    gram._int8_is_faster.cache_clear()


def test_gram_is_kept_and_checked(tmp_path, monkeypatch):
    images, _ = make_images()
    count = []
    compute = gram.compute_gram
    monkeypatch.setattr(gram, "compute_gram", lambda *rest: count.append(1) or compute(*rest))

    def ask(fingerprint="a" * 64, images=images):
        matrix, notes = gram.gram_matrix(images, fingerprint, tmp_path)
        assert np.array_equal(matrix.numpy(), exact(images))
        return notes

    assert ask() == [] and ask() == [] and len(count) == 1
    assert ask("b" * 64) == [] and len(count) == 2
    path = tmp_path / "gram" / f"{'a' * 16}-{SIZE}px.safetensors"
    good = path.read_bytes()

    flipped = bytearray(good)
    flipped[-3] ^= 1
    for content, reason in ((flipped, "checksum"), (good[:-9], "damaged"), (b"", "damaged")):
        path.write_bytes(content)
        (note,) = ask()
        assert reason in note and "computed again" in note
        assert ask() == []
    (note,) = ask("a" * 16 + "c" * 48)
    assert "other images" in note
    (note,) = ask("a" * 16 + "c" * 48, 255 - images)
    assert "does not fit" in note
    assert ask("a" * 16 + "c" * 48, 255 - images) == []
    assert not list(tmp_path.glob("gram/.writing-*"))


def test_a_second_process_waits_for_the_first(tmp_path):
    """Another one's lock is held here; a thread asks, and gets what the holder leaves."""
    gram.gram_matrix(IMAGES, "a" * 64, tmp_path)
    lock = tmp_path / "gram" / f"{'a' * 16}-{SIZE}px.lock"
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(gram.gram_matrix(IMAGES, "a" * 64, tmp_path))
    )
    with files.lock(lock):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and not answers
    thread.join(10)
    assert np.array_equal(answers[0][0].numpy(), exact(IMAGES))


def test_gram_without_a_place_to_keep_it(tmp_path):
    (tmp_path / "file").write_text("")
    matrix, (note,) = gram.gram_matrix(IMAGES, "a" * 64, tmp_path / "file")
    assert "not kept" in note and np.array_equal(matrix.numpy(), exact(IMAGES))
    with pytest.raises(ValueError, match="uint8"):
        gram.gram_matrix(IMAGES.astype(np.float32), "a" * 64, tmp_path)


def test_engine_choice():
    specs = [MODELS[name] for name in SGD]
    assert samplespace.choose_engine(specs, 5824, 640)[0] == "gram"
    engine, reason = samplespace.choose_engine([MODELS["8"]], 5824, 640)
    assert engine == "gram" and "5824 images of 640×640" in reason and "1 run " in reason
    assert samplespace.choose_engine([MODELS["0"]], 30000, 28)[0] == "direct"
    assert samplespace.choose_engine(specs, 10**6, 640) == (
        "direct",
        "for 1000000 images of 640×640 pixels and 22 runs the Gram matrix would take 7451 GiB of memory",
    )
    assert "Adam" in samplespace.choose_engine([MODELS["0"], MODELS["17"]], 100, 64)[1]
    assert "CNN" in samplespace.choose_engine([MODELS["10"]], 100, 64)[1]
    together_cost, direct_cost = samplespace.estimate(specs, 5824, 640)
    assert samplespace.estimate(specs, 5824, 640, gram_known=True)[0] < together_cost < direct_cost
