"""Which processors sum bytes exactly, and what is refused on the others."""

import pytest

from admlops.deploy import processor
from admlops.errors import MachineError


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of an architecture with flags of its processor, under a limit of oneDNN."""

    def make(architecture, flags=None, limit=None):
        monkeypatch.setattr("platform.machine", lambda: architecture)
        cpuinfo = tmp_path / "cpuinfo"
        if flags is not None:
            cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} sse2\nbugs\t\t: none\n")
        monkeypatch.setattr(processor, "CPUINFO", cpuinfo)
        monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
        if limit is not None:
            monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)

    return make


@pytest.mark.parametrize(
    ("architecture", "flags", "limit", "exact"),
    [
        ("x86_64", "avx2 avx512_vnni", None, True),
        ("x86_64", "avx2 avx_vnni", None, True),
        ("x86_64", "avx2 avx512f avx512bw", None, False),
        ("x86_64", "avx2 avx512_vnni", "AVX2", False),
        ("x86_64", "avx2 avx512_vnni", "avx512_core", False),
        ("x86_64", "avx2 avx512_vnni", "AVX2_VNNI", False),  # has the wide instruction only
        ("x86_64", "avx2 avx_vnni", "AVX2_VNNI", True),
        ("x86_64", "avx2 avx512_vnni", "AVX512_CORE_VNNI", True),
        ("x86_64", "avx2 avx512_vnni", "DEFAULT", True),
        ("x86_64", None, None, None),
        ("AMD64", None, None, None),
        ("aarch64", None, None, True),
        ("arm64", None, None, True),
        ("riscv64", "", None, None),
    ],
)
def test_flags_and_limits_decide(machine, architecture, flags, limit, exact):
    machine(architecture, flags, limit)
    assert processor.sums_bytes_exactly() is exact


def test_eight_bits_are_refused_without_vnni(machine):
    machine("x86_64", "avx2 avx512_vnni", "AVX2")
    with pytest.raises(MachineError, match="8-bit weights need a processor with VNNI") as caught:
        processor.check_weight_bits(8, "openvino")
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in str(caught.value)
    assert "weight_bits = 7" in str(caught.value)
    processor.check_weight_bits(7, "openvino")
    processor.check_weight_bits(8, "tensorrt")


def test_what_is_said_of_the_target_counts_more_than_this_machine(machine):
    machine("x86_64", "avx2")
    processor.check_weight_bits(8, "onnxruntime", has_vnni=True)
    machine("x86_64", "avx512_vnni")
    processor.check_weight_bits(8, "onnxruntime")
    with pytest.raises(MachineError, match="VNNI") as caught:
        processor.check_weight_bits(8, "onnxruntime", has_vnni=False)
    assert "the target" in str(caught.value)


def test_an_unknown_processor_is_not_trusted(machine):
    machine("x86_64")
    with pytest.raises(MachineError, match="VNNI") as caught:
        processor.check_weight_bits(8, "onnxruntime")
    assert "not known" in str(caught.value)
