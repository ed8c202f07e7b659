"""Whether a processor computes 8-bit weights exactly.

Without VNNI, x86 sums two products of an unsigned and a signed byte in 16 bits and saturates: 2 * 255 * 127 does not fit, while
7-bit weights do (2 * 255 * 63 = 32130). The results are then silently wrong, in OpenVINO and in ONNX Runtime alike.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from admlops.errors import MachineError

CPUINFO = Path("/proc/cpuinfo")
VNNI_FLAGS = frozenset({"avx512_vnni", "avx_vnni"})
ISA_LIMIT = "ONEDNN_MAX_CPU_ISA"
"""What keeps oneDNN, and so OpenVINO, from using newer instructions."""
FLAGS_WITHIN_LIMIT = {
    "SSE41": frozenset[str](),
    "AVX": frozenset[str](),
    "AVX2": frozenset[str](),
    "AVX2_VNNI": frozenset({"avx_vnni"}),
    "AVX2_VNNI_2": frozenset({"avx_vnni"}),
    "AVX512_CORE": frozenset[str](),
}
"""Limits that leave some flag unused; every other one leaves all of them."""
SATURATING = frozenset({"onnxruntime", "openvino"})
"""Targets that run on the processor."""
EXACT_BITS = 7


def sums_bytes_exactly() -> bool | None:
    """Find out whether this processor sums products of bytes in 32 bits.

    Returns:
        True on ARM, whose dot products do, and on x86 with VNNI that oneDNN may use; None where it is not known (x86 without
        ``/proc/cpuinfo``, other processors).
    """
    machine = platform.machine().lower()
    if machine in {"aarch64", "arm64"}:
        return True
    if machine not in {"x86_64", "amd64"} or not CPUINFO.exists():
        return None
    found = re.search(r"^flags\s*:(.*)$", CPUINFO.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    if found is None:
        return None
    usable = FLAGS_WITHIN_LIMIT.get(os.environ.get(ISA_LIMIT, "").strip().upper(), VNNI_FLAGS)
    return bool(usable & set(found[1].split()))


def check_weight_bits(weight_bits: int, target: str, has_vnni: bool | None = None) -> None:
    """Refuse 8-bit weights where their sums would saturate.

    Args:
        weight_bits: Bits of the network's weights.
        target: Runtime that shall run them.
        has_vnni: What is known of the processor that shall; None: it is this one.

    Raises:
        MachineError: The processor has no VNNI, or it is not known whether it has.
    """
    if weight_bits <= EXACT_BITS or target not in SATURATING:
        return
    exact = sums_bytes_exactly() if has_vnni is None else has_vnni
    if exact:
        return
    limit = os.environ.get(ISA_LIMIT)
    raise MachineError(
        f"{weight_bits}-bit weights need a processor with VNNI: without it sums of bytes saturate and results are wrong",
        where="the target" if has_vnni is not None else f"this machine ({platform.machine()})",
        expected="one of the flags " + ", ".join(sorted(VNNI_FLAGS)),
        got=("not known" if exact is None else "none of them") + (f", with {ISA_LIMIT}={limit}" if limit else ""),
        remedy="set weight_bits = 7 in the config's quantization and train again from step 1; or, where the file shall run on "
        "another processor that has VNNI, say so (target_has_vnni)",
    )
