import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.kernel_names import short_names
from maskprof.terminal_cells import cut_middle

NATIVE = "void at::native::"
BFLOAT = "c10::BFloat16"


def elementwise(wrapper, functor):
    return f"{NATIVE}{wrapper}<4, {functor}, std::array<char*, 3ul> >(int, {functor}, std::array<char*, 3ul>)"


COPY = (
    "at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)::{lambda()#3}::operator()() const::{lambda()#12}"
    f"::operator()() const::{{lambda({BFLOAT})#1}}"
)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        (
            elementwise("vectorized_elementwise_kernel", "at::native::CUDAFunctor_add<float>"),
            "CUDAFunctor_add<float>",
        ),
        (elementwise("unrolled_elementwise_kernel", COPY), "direct_copy_kernel_cuda(bfloat16)"),
        (
            (
                f"{NATIVE}elementwise_kernel<128, 4, at::native::gpu_kernel_impl_nocast<{COPY}>(at::TensorIterator&, "
                f"{COPY} const&)::{{lambda(int)#1}}>(int, at::native::gpu_kernel_impl_nocast<{COPY}>(at::"
            ),
            "direct_copy_kernel_cuda(bfloat16)",
        ),
        (
            elementwise(
                "vectorized_elementwise_kernel",
                f"at::native::BinaryFunctor<{BFLOAT}, {BFLOAT}, {BFLOAT}, at::native::MulFunctor<float> >",
            ),
            "MulFunctor<float> on bfloat16",
        ),
        (
            (
                f"{NATIVE}reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::MeanOps<float, float, float>, "
                "unsigned int, float, 4> >(at::native::ReduceOp<float, at::native::MeanOps<float> >)"
            ),
            "MeanOps<float>",
        ),
        (
            (
                f"{NATIVE}reduce_kernel<128, 4, at::native::ReduceOp<float, at::func_wrapper_t<float, at::"
                "native::sum_functor<float, float, float>::operator()(at::TensorIterator&)::{lambda(float, float)#1}>, "
                "unsigned int, float, 4> >(int)"
            ),
            "sum_functor<float>",
        ),
        (
            "void multi_tensor_apply_kernel<TensorListMetadata<4>, AdamFunctor<float>, float, float>(int, int*)",
            "AdamFunctor<float>",
        ),
        (
            (
                "void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_64x64_64x6_tn_align8>(cutlass_80_"
                "tensorop_bf16_s16816gemm_relu_bf16_64x64_64x6_tn_align8::Params)"
            ),
            "cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_64x64_64x6_tn_align8",
        ),
        (
            (
                "std::enable_if<(((8)>(0)))&&vllm::_typeConvert<c10::BFloat16>::exists, void>::type "
                "vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*, long, float, int, int)"
            ),
            "fused_add_rms_norm_kernel<bfloat16, 8>",
        ),
        (
            f"{NATIVE}(anonymous namespace)::CatArrayBatchedCopy<float, unsigned int, 2, 128, 1>(float*, int)",
            "CatArrayBatchedCopy<float, unsigned int, 2, 128, 1>",
        ),
        (
            (
                "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_execute_segment_k_off_"
                "kernel__5x_cublas"
            ),
            "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64",
        ),
        (
            "Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT128x256x32_MI16x16x1_SN_LDSB1_AFC1",
            "Cijk_Alik_Bljk_BBS MT128x256x32",
        ),
        ("_ZN5aiter24add_rmsnorm_quant_kernelIDF16bDF16bLi64ELi8EEEvPT0_", "add_rmsnorm_quant_kernel"),
        (
            "_ZN7ck_tile6kentryILi1ENS_12Rmsnorm2dFwdINS_27Rmsnorm2dFwdPipelineOnePassIfEEEEEvT0_",
            "Rmsnorm2dFwd",
        ),
        ("ncclKernel_AllReduce_RING_LL_Sum_float(ncclWorkElem)", "ncclKernel_AllReduce_RING_LL_Sum_float"),
        ("volta_sgemm_128x32_nt", "volta_sgemm_128x32_nt"),
        ("triton_poi_fused__to_copy_1", "triton_poi_fused__to_copy_1"),
        ("", ""),
        ("void", "void"),
        ("_Z", "_Z"),
        ("a<b", "a<b"),
        ("operator()", "operator"),
    ],
)
def test_what_is_left_of_a_name(name, short):
    assert short_names([name], 100) == (short,)


def test_wrappers_tell_the_same_functor_apart():
    add = "at::native::CUDAFunctor_add<float>"
    names = [
        elementwise(wrapper, add)
        for wrapper in ("vectorized_elementwise_kernel", "unrolled_elementwise_kernel")
    ]
    assert short_names(names, 60) == (
        "CUDAFunctor_add<float> [vectorized]",
        "CUDAFunctor_add<float> [unrolled]",
    )


def test_settings_tell_the_same_gemm_apart():
    names = [f"Cijk_Alik_Bljk_BBS_BH_Bias_MT32x32x256_MI16x16x1_NTA{n}_NTB0" for n in (0, 4)]
    assert short_names(names, 60) == (
        "Cijk_Alik_Bljk_BBS MT32x32x256 [NTA0]",
        "Cijk_Alik_Bljk_BBS MT32x32x256 [NTA4]",
    )


def test_types_tell_functors_apart():
    names = [
        elementwise("vectorized_elementwise_kernel", f"at::native::CUDAFunctor_add<{kind}>")
        for kind in ("float", BFLOAT)
    ]
    assert short_names(names, 24) == ("CUDAFunctor_add<float>", "CUDAFunctor_add<bfloat1…")


def test_a_number_is_the_last_resort():
    names = ["f(int)", "f(long)", "f(char)"]
    assert short_names(names, 12) == ("f [int]", "f [long]", "f [char]")
    names = ["f(int, int)", "f(int,int)", "f( int, int)"]
    assert short_names(names, 12) == ("f #1", "f #2", "f #3")


@given(
    st.lists(
        st.text(alphabet="ab<>(){}:,_ Z19#&*", max_size=60) | st.text(max_size=40),
        min_size=1,
        max_size=12,
        unique=True,
    ),
    st.integers(24, 100),
)
def test_short_names_fit_and_differ(names, width):
    short = short_names(names, width)
    assert max(map(len, short)) <= width
    assert len(set(short)) == len(names)


def test_a_name_of_a_megabyte_is_cut_before_it_is_read():
    (short,) = short_names(["kernel<" * 500_000], 40)
    assert len(short) == 40


@pytest.mark.parametrize("name", ["Memset (Device)", "Memcpy HtoD (Pinned -> Device)"])
def test_copies_keep_their_brackets(name):
    assert short_names([name], 40) == (name,)


def test_names_lose_their_middle():
    assert cut_middle("short", 10) == "short"
    assert cut_middle("blocks-0_1_2_3_4_5-of-16", 11) == "block…of-16"
    assert len(cut_middle("x" * 100, 28)) == 28
