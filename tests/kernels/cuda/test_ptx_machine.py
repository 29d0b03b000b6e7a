"""The machine that runs PTX does what NVIDIA's manual says, on short programs whose results are known."""

from fractions import Fraction

import numpy as np
import pytest

from ptx_machine import Fault, Memory, Program


def run(body, *arrays, threads=32, blocks=1, result="f4", size=None, before="", memory=None, apart=False):
    """What a kernel writes: its arguments are the arrays' addresses, a0, a1 …, and y, for a number of each thread. There are
    registers of every kind; %rd0 is 4 · the thread's number, %r0 the number itself."""
    memory, pieces = memory or Memory(), []
    for array in arrays:
        pieces.append(memory.allocate(array.nbytes))
        pieces[-1].room.bytes[:] = array.reshape(-1).view("u1")
    y = memory.allocate((size or threads * blocks) * np.dtype(result).itemsize)
    names = [f"a{i}" for i in range(len(arrays))] + ["y"]
    Program(f"""
        .version 9.0 .target sm_90 .address_size 64
        {before}
        .visible .entry test({', '.join(f'.param .u64 {name}' for name in names)})
        {{
            .reg .pred %p<9>; .reg .b16 %rs<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f32 %f<9>; .reg .f64 %fd<9>;
            {' '.join(f'.reg .b64 %{name}; ld.param.u64 %{name}, [{name}];' for name in names)}
            mov.u32 %r0, %ctaid.x;  mov.u32 %r1, %ntid.x;  mul.lo.s32 %r0, %r0, %r1;  mov.u32 %r1, %tid.x;
            add.s32 %r0, %r0, %r1;  mul.wide.s32 %rd0, %r0, 4;  add.s64 %y, %y, %rd0;
            {body}
            ret;
        }}""").run(memory, blocks, threads, [piece.start for piece in [*pieces, y]], apart)
    return y.room.bytes.view(result)


def f32(x):
    """A float32 as it stands in PTX."""
    return f"0f{np.float32(x).view('u4'):08X}"


def f64(x):
    return f"0d{np.float64(x).view('u8'):016X}"


THREADS = np.arange(64)


# ---- threads that part and meet

LOOP = """
    mov.u32 %r2, 0;  mov.u32 %r3, 0;
$again:
    setp.gt.s32 %p1, %r2, %r0;  @%p1 bra $done;
    add.s32 %r3, %r3, %r2;  add.s32 %r2, %r2, 1;  bra.uni $again;
$done:"""


@pytest.mark.parametrize("apart", [False, True])
def test_threads_leave_a_loop_one_by_one_and_meet_again(apart):
    together = LOOP + "mov.u32 %r4, 1; mov.u32 %r5, 31; mov.u32 %r6, -1;" \
                      "shfl.sync.bfly.b32 %r7|%p2, %r3, %r4, %r5, %r6; st.global.u32 [%y], %r7;"
    np.testing.assert_array_equal(run(together, threads=64, result="i4", apart=apart), np.cumsum(THREADS)[THREADS ^ 1])


def test_some_threads_end_early_and_the_others_do_not_wait_for_them():
    early = "st.global.u32 [%y], %r0; setp.lt.s32 %p1, %r0, 20; @%p1 ret; .shared .b32 s[64]; mov.u64 %rd1, s;" \
            "add.s64 %rd1, %rd1, %rd0; st.shared.u32 [%rd1], %r0; bar.sync 0; xor.b32 %r2, %r0, 1; sub.s32 %r2, %r2, %r0;" \
            "mul.wide.s32 %rd2, %r2, 4; add.s64 %rd1, %rd1, %rd2; ld.shared.u32 %r3, [%rd1]; st.global.u32 [%y], %r3;"
    np.testing.assert_array_equal(run(early, threads=64, result="i4"), np.where(THREADS < 20, THREADS, THREADS ^ 1))


ROTATE = """
    .shared .align 4 .b8 s[256];
    mov.u64 %rd1, s;  and.b64 %rd2, %rd0, 255;  add.s64 %rd2, %rd1, %rd2;
    mov.u32 %r5, %tid.x;  add.s32 %r2, %r5, 1;  and.b32 %r2, %r2, 63;  mul.wide.u32 %rd3, %r2, 4;  add.s64 %rd3, %rd1, %rd3;
    mov.u32 %r3, %r0;  mov.u32 %r4, 0;
$again:
    st.shared.u32 [%rd2], %r3;  {}
    ld.shared.u32 %r3, [%rd3];  bar.sync 0;
    add.s32 %r4, %r4, 1;  setp.lt.s32 %p1, %r4, 3;  @%p1 bra $again;
    st.global.u32 [%y], %r3;"""


@pytest.mark.parametrize("apart", [False, True])
def test_a_barrier_in_a_loop(apart):
    """Each block's threads pass a number on, three times."""
    want = (THREADS + 3) % 64
    np.testing.assert_array_equal(run(ROTATE.format("bar.sync 0;"), threads=64, blocks=3, result="i4", apart=apart), [
        *want, *(want + 64), *(want + 128)])


def test_without_a_barrier_a_warp_that_goes_first_finds_nothing():
    with pytest.raises(Fault, match=r"ld.shared.u32 .*: thread \(31, 0, 0\) of block .* reads shared memory that nobody"):
        run(ROTATE.format(""), threads=64, apart=True)


@pytest.mark.parametrize("apart", [False, True])
def test_all_threads_of_a_block_vote(apart):
    vote = "setp.{} %p1, %r0, 70; bar.red.and.pred %p2, 0, %p1; selp.u32 %r2, 1, 0, %p2; st.global.u32 [%y], %r2;"
    for condition in "lt.s32", "ne.s32":
        got = run(vote.format(condition), threads=64, blocks=2, result="i4", apart=apart)
        np.testing.assert_array_equal(got, np.repeat([1, 0], 64))


def test_a_shuffle_ends_at_its_segment():
    segment = "mov.u32 %r4, 4; mov.u32 %r5, 0x1801; mov.u32 %r6, -1; shfl.sync.bfly.b32 %r7|%p2, %r0, %r4, %r5, %r6;" \
              "selp.b32 %r7, %r7, -1, %p2; st.global.u32 [%y], %r7;"
    lane = np.arange(32)
    there = (lane ^ 4) <= (lane & 24 | 1)
    np.testing.assert_array_equal(run(segment, result="i4"), np.where(there, lane ^ 4, -1))


# ---- arithmetic

def test_whole_numbers_wrap_around_and_shifts_stop_at_the_width():
    for code, want in [("add.s32 %r2, 2147483647, %r0;", THREADS[:32] + 2**31 - 1),
                       ("mul.lo.s32 %r2, %r0, 1000000007;", THREADS[:32] * 1000000007),
                       ("shl.b32 %r2, 1, %r0;", 1 << THREADS[:32]), ("mov.u32 %r3, 32; shl.b32 %r2, 5, %r3;", 0),
                       ("mov.u32 %r3, 40; shr.s32 %r2, -5, %r3;", -1), ("mov.u32 %r3, 32; shr.u32 %r2, -5, %r3;", 0),
                       ("mov.u32 %r3, -1; shr.s32 %r2, 5, %r3;", 0), ("shr.u32 %r2, -1, 28;", 15),
                       ("div.s32 %r2, -7, 2;", -3), ("rem.s32 %r2, -7, 2;", -1), ("div.u32 %r2, -7, 2;", (2**32 - 7) // 2),
                       ("mul.hi.u32 %r2, -1, -1;", 2**32 - 2), ("neg.s32 %r2, -2147483648;", 2**31),
                       ("max.s32 %r2, -1, 1;", 1), ("max.u32 %r2, -1, 1;", -1), ("not.b32 %r2, 0;", -1),
                       ("setp.lt.u32 %p1, 1, -1; selp.u32 %r2, 7, 8, %p1;", 7), ("clz.b64 %r2, 255;", 56),
                       ("clz.b64 %r2, 0;", 64),
                       ("mov.b64 {%r3, %r2}, 0x1234567800000000;", 0x12345678), ("cvt.u32.u64 %r2, 0x100000005;", 5),
                       ("mov.u32 %r3, 9; mov.b64 %rd1, {%r3, 8}; shr.u64 %rd1, %rd1, 32; cvt.u32.u64 %r2, %rd1;", 8),
                       ("bfi.b64 %rd1, 5, -1, 4, 8; cvt.u32.u64 %r2, %rd1;", 0xFFFFF05F),
                       ("{ .reg .b32 %r3; mov.u32 %r3, 8; } mov.u32 %r2, %r3;", 0),
                       ("mov.u16 %rs1, -1; cvt.u32.u16 %r2, %rs1;", 65535),
                       ("mov.u16 %rs1, -1; cvt.s32.s16 %r2, %rs1;", -1)]:
        got = run(code + "st.global.u32 [%y], %r2;", result="u4")
        np.testing.assert_array_equal(got, np.full(32, want) % 2**32, code)


def test_a_carry_goes_from_word_to_word():
    """2⁶⁴ − 1 plus 2, and times itself, in words of 32 bits."""
    code = "mov.u32 %r2, -1; add.cc.u32 %r3, %r2, 2; addc.cc.u32 %r4, %r2, 0; addc.u32 %r5, 0, 0;" \
           "mul.lo.u32 %r6, %r2, %r2; mad.lo.cc.u32 %r6, %r2, %r2, -1; madc.hi.u32 %r7, %r2, %r2, 0;" \
           "sub.cc.u32 %r8, 0, 1; subc.u32 %r8, 5, 0; st.global.v4.u32 [%y], {%r3, %r4, %r5, %r6};" \
           "st.global.u32 [%y+16], %r7; st.global.u32 [%y+20], %r8;"
    np.testing.assert_array_equal(run(code, threads=1, size=6, result="u4"), [1, 0, 1, 0, 2**32 - 1, 4])


def hard_triples(dtype, n=300):
    """a, b, c for which the sum of product and c lies close to the middle between two numbers, and others."""
    rng, bits = np.random.default_rng(0), np.finfo(dtype).nmant + 1
    for _ in range(n):
        a, b = [dtype(1 + int(rng.integers(2**(bits - 1))) * 2.0**(1 - bits)) for _ in range(2)]
        product = Fraction(float(a)) * Fraction(float(b))
        scale = Fraction(2) ** int(rng.choice([-bits - 2, -bits, -1, 0, 1, bits - 1, bits, bits + 1]))
        c = dtype(float(product * scale)) * dtype(rng.choice([-1, 1]))
        yield a, b, c if rng.integers(4) else dtype(rng.choice([-1, 1]) * 2.0**int(rng.integers(-1, 2 * bits)))
    tiny, huge = np.finfo(dtype).tiny, np.finfo(dtype).max
    for a, b, c in [(tiny, 0.5, tiny), (tiny, 0.3, 0), (huge, 2, -huge), (huge, 2, 0), (0, 1, -0.0), (np.inf, 0, 1),
                    (-0.0, 1, -0.0), (tiny, tiny, 1), (huge, huge, -1), (3, 5, -15), (huge, 1, huge * 2.0**-bits / 2)]:
        yield dtype(a), dtype(b), dtype(c)


def rounded(total, dtype, mode):
    """A fraction as a float: the nearest, or the next towards 0, below or above. By looking at the neighbours."""
    with np.errstate(all="ignore"):
        y = dtype(float(total)) if abs(total) < Fraction(2) ** 1024 else dtype(np.inf if total > 0 else -np.inf)
        around = sorted({float(v) for v in (np.nextafter(y, dtype(-np.inf)), y, np.nextafter(y, dtype(np.inf)))})
    beyond = Fraction(2) ** (5000 if mode != "rn" else 128 if dtype == np.float32 else 1024)     # the number after the last
    exact = {v: Fraction(v) if np.isfinite(v) else beyond if v > 0 else -beyond for v in around}
    if mode == "rn":
        distance = {v: abs(exact[v] - total) for v in around}
        nearest = [v for v in around if distance[v] == min(distance.values())]
        whole = lambda v: int(dtype(v).view("u4" if dtype == np.float32 else "u8")) % 2
        return dtype(nearest[0] if len(nearest) == 1 else next(v for v in nearest if not whole(v)))
    fits = [v for v in around if (exact[v] <= total if mode == "rm" or mode == "rz" and total > 0 else exact[v] >= total)]
    return dtype(fits[-1] if mode == "rm" or mode == "rz" and total > 0 else fits[0])


@pytest.mark.parametrize("mode, dtype", [("rn", np.float32), ("rz", np.float32), ("rm", np.float32), ("rp", np.float32),
                                         ("rn", np.float64)])
def test_fma_is_rounded_once(mode, dtype):
    a, b, c = np.array(list(hard_triples(dtype))).T.copy()
    kind, register, size = ("f32", "%f", 4) if dtype == np.float32 else ("f64", "%fd", 8)
    code = " ".join(f"add.s64 %rd1, %a{i}, %rd0; add.s64 %rd1, %rd1, %rd{0 if size == 8 else 8};"
                    f"ld.global.{kind} {register}{i}, [%rd1];" for i in range(3))
    got = run(f"mov.u64 %rd8, 0; add.s64 %y, %y, %rd{0 if size == 8 else 8}; {code}"
              f"fma.{mode}.{kind} {register}3, {register}0, {register}1, {register}2; st.global.{kind} [%y], {register}3;",
              a, b, c, threads=len(a), result=dtype)
    for x, y, z, found in zip(a, b, c, got):
        if all(map(np.isfinite, (x, y, z))):
            total = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
            if total:
                assert found == rounded(total, dtype, mode), (x, y, z)
            else:
                assert found == 0 and np.signbit(found) == np.signbit(x * y + z), (x, y, z)
        else:
            assert np.isnan(found) or found == x * y + z


def test_float64_would_round_a_float32_fma_twice():
    """1 + 2⁻²⁴ + 2⁻⁶⁰ is above the middle between 1 and the next float32; float64 cannot tell."""
    code = f"fma.rn.f32 %f1, {f32(2**-30)}, {f32(2**-30)}, {f32(1 + 2**-23)};" \
           f"fma.rn.f32 %f2, {f32(1 + 2**-12)}, {f32(1 + 2**-12)}, {f32(2**-60)}; st.global.f32 [%y], %f2;"
    exact = Fraction(1 + 2**-12) ** 2 + Fraction(2) ** -60      # 1 + 2⁻¹¹ + 2⁻²⁴ + 2⁻⁶⁰
    assert run(code, threads=1)[0] == np.nextafter(np.float32(1 + 2**-11), np.float32(2)) == rounded(exact, np.float32, "rn")


@pytest.mark.parametrize("code, want", [
    ("cvt.rni.s32.f32 %r2, {x};", [0, 2, 2, -2, -0, 2**31 - 1, -2**31, 0]),
    ("cvt.rzi.s32.f32 %r2, {x};", [0, 1, 2, -1, 0, 2**31 - 1, -2**31, 0]),
    ("cvt.rmi.s32.f32 %r2, {x};", [0, 1, 2, -2, -1, 2**31 - 1, -2**31, 0]),
    ("cvt.rpi.s32.f32 %r2, {x};", [1, 2, 3, -1, 0, 2**31 - 1, -2**31, 0]),
    ("cvt.rzi.u32.f32 %r2, {x};", [0, 1, 2, 0, 0, 2**32 - 1, 0, 0]),
    ("cvt.rzi.s64.f32 %rd1, {x}; shr.u64 %rd1, %rd1, 32; cvt.u32.u64 %r2, %rd1;",
     [0, 0, 0, -1, 0, 2**31 - 1, -2**31, -2**31]),
    ("cvt.rmi.f32.f32 %f1, {x}; mov.b32 %r2, %f1;", [0.0, 1.0, 2.0, -2.0, -1.0, np.inf, -np.inf, np.nan]),
    ("cvt.sat.f32.f32 %f1, {x}; mov.b32 %r2, %f1;", [0.5, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
    ("cvt.rn.f16.f32 %rs1, {x}; cvt.f32.f16 %f1, %rs1; mov.b32 %r2, %f1;",
     [0.5, 1.5, 2.5, -1.5, -0.5, np.inf, -np.inf, np.nan]),
])
def test_conversions(code, want):
    for x, expected in zip([0.5, 1.5, 2.5, -1.5, -0.5, np.inf, -np.inf, np.nan], want, strict=True):
        got = run(code.format(x=f32(x)) + "st.global.u32 [%y], %r2;", threads=1, result="u4")
        if isinstance(expected, float):
            np.testing.assert_array_equal(got.view("f4"), np.float32(expected))
        else:
            assert got[0] == expected % 2**32, (code, x)


@pytest.mark.parametrize("code, want", [
    (f"setp.lt.f32 %p1, {f32(1)}, {f32(np.nan)};", 0), (f"setp.ltu.f32 %p1, {f32(1)}, {f32(np.nan)};", 1),
    (f"setp.ne.f32 %p1, {f32(1)}, {f32(np.nan)};", 0), (f"setp.neu.f32 %p1, {f32(1)}, {f32(np.nan)};", 1),
    (f"setp.num.f32 %p1, {f32(1)}, {f32(np.nan)};", 0), (f"setp.nan.f32 %p1, {f32(1)}, {f32(np.nan)};", 1),
    (f"max.f32 %f1, {f32(1)}, {f32(np.nan)}; setp.eq.f32 %p1, %f1, {f32(1)};", 1),
    (f"max.f32 %f1, {f32(-0.0)}, {f32(0)}; mov.b32 %r2, %f1; setp.eq.s32 %p1, %r2, 0;", 1),
    (f"min.f32 %f1, {f32(0)}, {f32(-0.0)}; mov.b32 %r2, %f1; setp.eq.s32 %p1, %r2, 0;", 0),
    (f"copysign.f32 %f1, {f32(-0.0)}, {f32(2)}; setp.eq.f32 %p1, %f1, {f32(-2)};", 1),
    (f"ex2.approx.ftz.f32 %f1, {f32(-130)}; setp.eq.f32 %p1, %f1, {f32(0)};", 1),
    (f"add.rz.f32 %f1, {f32(1)}, {f32(-2**-30)}; setp.lt.f32 %p1, %f1, {f32(1)};", 1),
    (f"rcp.approx.ftz.f64 %fd1, {f64(3)}; mov.b64 {{%r2, %r3}}, %fd1; setp.eq.s32 %p1, %r2, 0;", 1),
    (f"mul.f32 %f1, {f32(2**-126)}, {f32(0.5)}; setp.gt.f32 %p1, %f1, {f32(0)};", 1),
])
def test_floats(code, want):
    assert run(code + "selp.u32 %r4, 1, 0, %p1; st.global.u32 [%y], %r4;", threads=1, result="u4")[0] == want


# ---- functions, tables, memory of a thread

def test_a_function_is_called_and_its_registers_are_its_own():
    square = """
        .func (.param .align 8 .b8 out[16]) square(.param .b64 x) {
            .reg .f64 %fd<3>; .reg .b32 %r<3>; ld.param.f64 %fd1, [x]; mul.f64 %fd2, %fd1, %fd1; mov.u32 %r2, 7;
            st.param.f64 [out+0], %fd2; st.param.b32 [out+8], %r2; ret; }"""
    code = f"""mov.f64 %fd1, {f64(3)}; mov.u32 %r2, 5;
        {{ .param .b64 param0; st.param.f64 [param0+0], %fd1; .param .align 8 .b8 retval0[16];
           call.uni (retval0), square, (param0); ld.param.f64 %fd2, [retval0+0]; ld.param.b32 %r3, [retval0+8]; }}
        cvt.rzi.s32.f64 %r4, %fd2; add.s32 %r4, %r4, %r3; add.s32 %r4, %r4, %r2; st.global.u32 [%y], %r4;"""
    assert run(code, threads=1, result="i4", before=square)[0] == 9 + 7 + 5


def test_tables_and_a_threads_own_memory():
    code = """.local .align 4 .b8 mine[8]; mov.u64 %rd1, mine; st.local.u32 [%rd1+4], %r0;
        mov.u64 %rd2, table; and.b64 %rd3, %rd0, 12; add.s64 %rd2, %rd2, %rd3; ld.global.nc.u32 %r2, [%rd2];
        ld.local.u32 %r3, [%rd1+4]; add.s32 %r2, %r2, %r3; st.global.u32 [%y], %r2;"""
    got = run(code, result="i4", before=".global .align 4 .u32 table[4] = {10, 20, 30, 40};")
    np.testing.assert_array_equal(got, np.arange(32) + np.tile([10, 20, 30, 40], 8))


def test_what_is_loaded_fills_a_wider_register():
    code = """ld.global.u32 %rd1, [%a0]; ld.global.s32 %rd2, [%a0]; ld.global.u8 %rs1, [%a0]; ld.global.s8 %rs2, [%a0];
        shr.u64 %rd1, %rd1, 28; shr.s64 %rd2, %rd2, 28; add.s64 %rd1, %rd1, %rd2; cvt.u32.u64 %r1, %rd1;
        cvt.s32.s16 %r2, %rs1; add.s32 %r1, %r1, %r2; cvt.s32.s16 %r2, %rs2; add.s32 %r1, %r1, %r2;
        st.global.u32 [%y], %r1;"""
    assert run(code, np.array([-1], "i4"), threads=1, result="i4")[0] == 15 - 1 + 255 - 1


def test_neighbours_move_together_and_bytes_fill_up():
    x = np.arange(64, dtype="i4")
    code = """shl.b64 %rd1, %rd0, 2; add.s64 %rd1, %a0, %rd1; ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%rd1];
        ld.global.u8 %rs1, [%a0+4]; cvt.u32.u16 %r6, %rs1; add.s32 %r5, %r5, %r6; st.global.u32 [%y], %r5;"""
    np.testing.assert_array_equal(run(code, x, threads=16, result="i4"), 4 * np.arange(16) + 3 + 1)


# ---- what a GPU does not forgive

@pytest.mark.parametrize("code, words", [
    ("ld.global.f32 %f1, [%y+8];", r"ld.global.f32 %f1, \[%y\+8\]: thread \(30, 0, 0\) of block \(1, 0, 0\) is outside all "
                                   "arrays: 4 bytes at .*, 256 bytes after the beginning of an array of 256"),
    ("st.global.f32 [%rd0], 0f00000000;", "is outside all arrays: 4 bytes at 0x0, where nothing is allocated"),
    ("sub.s64 %rd1, %y, %rd0; add.s64 %rd1, %rd1, 8; st.global.v4.u32 [%rd1], {%r0, %r0, %r0, %r0};",
     r"thread \(0, 0, 0\) of block \(0, 0, 0\) takes 16 bytes at once at .*8, which is not a multiple of 16"),
    (".shared .b32 s[8]; mov.u64 %rd1, s; ld.shared.u32 %r2, [%rd1];", "reads shared memory that nobody wrote"),
    (".shared .b32 s[8]; mov.u64 %rd1, s; st.shared.u32 [%rd1+32], 1;", "outside its shared memory: 4 bytes at 32"),
    (".shared .b8 s[8]; mov.u64 %rd1, s; st.shared.u16 [%rd1+3], %rs0;", "not a multiple of 2"),
    (".local .b8 m[8]; mov.u64 %rd1, m; st.local.u32 [%rd1+8], 1;", "outside its local memory"),
    ("setp.lt.s32 %p1, %r0, 3; @%p1 bra $one; bar.sync 0; bra.uni $end; $one: bar.sync 0; $end:",
     "waits for threads that will never come: they wait at"),
    ("setp.lt.s32 %p1, %r0, 3; @%p1 ret; shfl.sync.bfly.b32 %r2|%p2, %r0, 1, 31, -1;", "of a thread that has ended"),
    ("lop3.b32 %r1, %r2, %r3, %r4, 42;", r"the instruction 'lop3.b32' is not known here \(lop3.b32 %r1"),
    ("add.rm.f64 %fd1, %fd2, %fd3;", "'add.rm.f64' is not known"),
    ("ld.volatile.global.u32 %r1, [%y];", "'ld.volatile.global.u32' is not known"),
    ("mov.u64 %rd1, nothing;", "'nothing' is not a register"),
    ("mov.u64 %rd1, %r1;", "%r1 has 32 bits, too few"),
])
def test_faults_are_named(code, words):
    with pytest.raises(Fault, match=words):
        run(code, threads=32, blocks=2)


def test_what_was_given_back_is_nobodys():
    memory = Memory()
    first, second = memory.allocate(100), memory.allocate(100)
    start = first.start
    assert memory.around(start) is first and memory.around(second.start + 5) is second
    del first
    assert memory.around(start) is None and memory.allocate(100).start > second.start


# ---- what is counted

@pytest.mark.parametrize("step, sectors", [(4, 4), (8, 8), (32, 32), (64, 32), (0, 1)])
def test_threads_of_a_warp_share_sectors(step, sectors):
    """Neighbours that read neighbours need 4 sectors of 32 bytes, and those far apart one each."""
    memory = Memory(counts=[])
    run(f"mul.wide.s32 %rd1, %r0, {step}; add.s64 %rd1, %a0, %rd1; ld.global.f32 %f1, [%rd1]; st.global.f32 [%y], %f1;",
        np.zeros(1024, "f4"), memory=memory)
    counts, = memory.counts
    (read,), (written,) = [[t for t in counts.arrays.values() if t.asked[action]] for action in ("ld", "st")]
    assert read.asked["ld"] == sectors and read.wanted["ld"] == 128 and written.times("st") == 1
    assert counts.work["memory"] == 2 * 32 and counts.work["fma"] == 0


@pytest.mark.parametrize("step, kind, wavefronts, fewest", [
    (4, "u32", 1, 1), (8, "u32", 2, 1), (16, "u32", 4, 1), (128, "u32", 32, 1), (132, "u32", 1, 1), (0, "u32", 1, 1),
    (16, "v4.u32", 4, 4), (128, "v4.u32", 32, 4), (8, "u64", 2, 2), (16, "u64", 4, 2), (1, "u8", 1, 1)])
def test_threads_of_a_warp_wait_for_banks(step, kind, wavefronts, fewest):
    value = {"u32": "%r0", "u64": "%rd0", "u8": "%rs0", "v4.u32": "{%r0, %r0, %r0, %r0}"}[kind]
    memory = Memory(counts=[])
    run(f".shared .align 16 .b8 s[8192]; mov.u64 %rd1, s; mul.wide.s32 %rd2, %r0, {step}; add.s64 %rd1, %rd1, %rd2;"
        f"st.shared.{kind} [%rd1], {value};", memory=memory)
    counts, = memory.counts
    assert (sum(counts.wavefronts.values()), sum(counts.conflicts.values())) == (wavefronts, wavefronts - fewest)
