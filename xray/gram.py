"""The Gram matrix K = X Xᵀ of all images, kept on disk, and the two products that lead from pixels
to it and back.

K is exact: pixels are 8-bit integers, x - 128 fits int8, and products of int8 sum without rounding
in int32. `xray.sample_space` trains on K; `project` gives it the start and `combine` turns its
answer into weights.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from xray import files
from xray.engine import full_precision

BUFFER = 2**29  # bytes of pixels held at once as int8 or float32, beyond the images themselves
SIDE = 512  # images a side of the blocks of K
INT32_COLUMNS = 65536  # 65536 products of up to 2**14 stay below 2**31
TILE = 2048  # pixels made float32 at once, while they are near the processor
FEWEST_UNITS = 16  # BLAS adds in another order where there are fewer
FLOAT32_COLUMNS = 1024  # 1024 products stay within 2**24, where float32 still holds every integer


def gram_matrix(
    images, fingerprint: str, cache: Path, device="cpu", progress=None
) -> tuple[torch.Tensor, list[str]]:
    """K[i, j] = sum over pixels of image i times image j, and notes to show a person.

    images: uint8 (N, 1, S, S), array or memmap. K: float64 (N, N) on the CPU, symmetric, each entry
    the exact integer. It is read from cache/gram/<fingerprint, 16 digits>-<S>px.npy, or computed
    and kept there; a file that is damaged or of other images is computed again, which a note says.
    A second process asking meanwhile waits for the first. progress(done, total) is called as blocks
    are finished. Raises ValueError where images have another form.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) == 0:
        form = f"{images.dtype} {tuple(images.shape)}"
        raise ValueError(f"images must be uint8 (N, 1, S, S) with N > 0, not {form}")
    path = Path(cache) / "gram" / f"{fingerprint[:16]}-{images.shape[-1]}px.npy"
    matrix, notes = None, []
    try:
        with files.lock(path.with_suffix(".lock")):
            if path.exists():
                matrix = _read(path, images)
                if matrix is not None:
                    return matrix, notes
                notes.append(f"{path}: damaged or of other images; K was computed again")
            matrix = compute_gram(images, device, progress)
            with files.writing(path) as temporary, open(temporary, "wb") as stream:
                np.save(stream, matrix.numpy())
    except OSError as error:
        why = f"cannot be written ({error.strerror}); the Gram matrix is not kept"
        notes.append(f"{path}: {why}")
    return (compute_gram(images, device, progress) if matrix is None else matrix), notes


def _read(path: Path, images) -> torch.Tensor | None:
    """The matrix, where the file holds that of these images."""
    n = len(images)
    try:
        matrix = np.load(path)
    except (ValueError, EOFError):
        return None
    if matrix.shape != (n, n) or matrix.dtype != np.float64:
        return None
    # a few entries, against the pixels
    for i, j in np.linspace((0, n - 1), (n - 1, n // 2), 8).astype(int):
        one, other = (images[row].ravel().astype(np.float64) for row in (i, j))
        if matrix[i, j] != np.dot(one, other):
            return None
    return torch.from_numpy(matrix)


def compute_gram(images, device="cpu", progress=None) -> torch.Tensor:
    """K of images uint8 (N, 1, S, S) as `gram_matrix` gives it, without the cache.

    Pixels are taken in strips of columns that fit BUFFER, each read once; of K only the blocks on
    and below the diagonal are multiplied. N(N+1)/2 · S² multiply-adds of int8, where the device is
    made for them, or of float32.
    """
    pixels = images.reshape(len(images), -1)
    n, total = pixels.shape
    # One pass in the order of the file gives the sums and brings a memmap into the page cache.
    sums = [row.sum(dtype=np.int64) for row in pixels]
    sums = torch.tensor(sums, dtype=torch.float64, device=device)
    rows = -(-n // 32) * 32  # int8 kernels ask for multiples; rows and columns of zeros add nothing
    width = min(max(BUFFER // rows // 64 * 64, 64), INT32_COLUMNS, -(-total // 64) * 64)
    strip = torch.zeros((rows, width), dtype=torch.int8)
    multiply = _multiply_int8 if _has_int8(device) else _multiply_float32
    gram = torch.zeros((n, n), dtype=torch.float64, device=device)
    blocks = [(i, j) for i in range(0, n, SIDE) for j in range(0, i + 1, SIDE)]
    starts = range(0, total, width)
    for done, start in enumerate(starts):
        part = pixels[:, start : start + width]
        strip[:, part.shape[1] :] = 0
        # x - 128, read as int8
        np.bitwise_xor(part, 128, out=strip.numpy().view(np.uint8)[:n, : part.shape[1]])
        on_device = strip.to(device)
        for count, (i, j) in enumerate(blocks, 1):
            product = multiply(on_device[i : i + SIDE], on_device[j : j + SIDE])
            gram[i : i + SIDE, j : j + SIDE] += product[: n - i, : n - j]
            if progress:
                progress(done * len(blocks) + count, len(starts) * len(blocks))
    for i, j in blocks:
        if i != j:
            gram[j : j + SIDE, i : i + SIDE] = gram[i : i + SIDE, j : j + SIDE].T
    # with x = a + 128: sum (a+128)(b+128) = sum ab + 128 (sum a + sum b) + 128² S²
    gram += 128 * sums[:, None]
    gram += 128 * sums[None, :] - 128**2 * total
    return gram.cpu()


def _has_int8(device) -> bool:
    """Whether the device multiplies int8 faster than float32: a GPU, or a processor with VNNI."""
    return torch.device(device).type == "cuda" or torch.cpu.get_capabilities().get("avx512_vnni")


def _multiply_int8(left, right):
    return torch._int_mm(left, right.T)


@full_precision()
def _multiply_float32(left, right):
    result = torch.zeros((len(left), len(right)), dtype=torch.float64, device=left.device)
    for start in range(0, left.shape[1], FLOAT32_COLUMNS):
        columns = slice(start, start + FLOAT32_COLUMNS)
        result += left[:, columns].float() @ right[:, columns].float().T
    return result


def _chunks(images) -> list[slice]:
    """Rows that are read at once."""
    rows = max(1, min(256, BUFFER // images[0].size))
    return [slice(start, start + rows) for start in range(0, len(images), rows)]


def _pixels(images, rows: slice, device) -> torch.Tensor:
    """uint8 (rows, S²) on the device."""
    return torch.tensor(images[rows].reshape(len(images[rows]), -1), device=device)


@full_precision()
def project(images, weights: torch.Tensor, device="cpu") -> torch.Tensor:
    """(X/255) Wᵀ: images uint8 (N, 1, S, S), weights float32 (units, S²) -> float64 (N, units).

    On the device; one pass over the images; float32 products of TILE pixels, summed in float64. A
    unit gets the same to the bit whatever units stand beside it: BLAS adds in another order where
    there are few, so rows of zeros fill them up.
    """
    units = len(weights)
    weights = F.pad(weights, (0, 0, 0, max(0, FEWEST_UNITS - units))).to(device)
    result = torch.zeros((len(weights), len(images)), dtype=torch.float64, device=device)
    threads = torch.get_num_threads() if result.device.type == "cpu" else 1

    def fill(rows: slice) -> None:
        torch.set_num_threads(1)  # a setting of each thread's own
        pixels = _pixels(images, rows, device)
        for start in range(0, pixels.shape[1], TILE):
            columns = slice(start, start + TILE)
            result[:, rows] += weights[:, columns] @ pixels[:, columns].float().T

    # chunks beside each other: two threads in one product wait for each other beside a busy process
    with ThreadPoolExecutor(threads) as pool:
        list((pool.map if threads > 1 else map)(fill, _chunks(images)))
    torch.set_num_threads(threads)
    return result[:units].T / 255


@full_precision()
def combine(images, coefficients: torch.Tensor, device="cpu") -> torch.Tensor:
    """Aᵀ (X/255): coefficients (N, units) -> float32 (units, S²), on the device.

    One pass over the images; chunks of them whose coefficients are all 0 are left out.
    """
    coefficients = (coefficients / 255).float().to(device)
    result = torch.zeros((coefficients.shape[1], images[0].size), device=device)
    for rows in _chunks(images):
        if coefficients[rows].any():
            pixels = _pixels(images, rows, device)
            for start in range(0, pixels.shape[1], TILE):
                columns = slice(start, start + TILE)
                result[:, columns].addmm_(coefficients[rows].T, pixels[:, columns].float())
    return result
