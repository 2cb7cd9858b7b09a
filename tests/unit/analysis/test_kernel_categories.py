"""Every trap that names of kernels hold, and the sixty that took the most time in a collection of traces."""

import numpy as np
import pytest

from maskprof.analysis.kernel_categories import (
    CATEGORY_TABLE,
    kernel_category,
    kernel_head,
    operator_category,
)
from maskprof.analysis.kernel_patterns import CATEGORIES, FAMILIES, HEADS, OPERATORS, PLAIN_OPERATORS
from maskprof.analysis.launched import find_launched
from maskprof.traces.links import find_device_rows
from maskprof.traces.reader import read_trace
from tests.support.traces import SHARED_TRACES, TraceBuilder, shared_truth

# By falling time over 57 traces of NVIDIA and AMD GPUs; names as far as their first 100 characters.
TOP = """
communication | ncclKernel_SendRecv_RING_SIMPLE_Sum_int8_t(ncclDevComm*, unsigned long, ncclWork*)
communication | ncclKernel_AllReduce_RING_LL_Sum_float(ncclWorkElem)
softmax | void at::native::(anonymous namespace)::cunn_SoftMaxForward<8, c10::BFloat16, float, c10::BFloat16,
communication | ncclKernel_SendRecv_RING_SIMPLE_Sum_int8_t(ncclWorkElem)
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT128x256x32_MI16x16x1_SN_LDSB1_AFC1_AFEM1_AFEM1_ASEM1_
attention | attn_fwd
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT320x224x64_MI16x16x1_SN_LDSB0_AFC1_AG0_AFEM1_AFEM1_AS
softmax | void at::native::(anonymous namespace)::cunn_SoftMaxForwardReg<c10::BFloat16, float, c10::BFloat16,
elementwise | void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, at::detail::Ar
gemm | void cutlass::Kernel2<cutlass_75_tensorop_bf16_s1688gemm_bf16_128x128_nn_align1>(cutlass_75_tensorop
gemm | void cutlass::Kernel2<cutlass_75_tensorop_bf16_s1688gemm_bf16_256x128_tn_align1>(cutlass_75_tensorop
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT320x224x64_MI16x16x1_SN_LDSB0_AFC1_AFEM1_AFEM1_ASEM1_
gemm | volta_sgemm_128x32_nt
embedding | void split_embedding_backward_codegen_rowwise_adagrad_unweighted_kernel_cta_per_row_1<c10::Half, flo
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT256x224x64_MI16x16x1_SN_LDSB0_AFC1_AG0_AFEM1_AFEM1_AS
embedding | void split_embedding_backward_codegen_rowwise_adagrad_unweighted_kernel_cta_per_row_1<float, float,
gemm | volta_sgemm_32x128_tn
elementwise | void at::native::vectorized_elementwise_kernel<4, at::native::BinaryFunctor<float, float, float, at:
moe | _matmul_ogs_NNT_bf16xbf16xmxfp4_128x128x128x1_swiglu
gemm | volta_sgemm_32x128_nn
gemm | volta_sgemm_128x64_nn
communication | ncclDevKernel_Generic(ncclDevKernelArgsStorage<4096ul>)
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT256x192x64_MI16x16x1_SN_LDSB1_AFC1_AFEM1_AFEM1_ASEM1_
embedding | void split_embedding_codegen_forward_unweighted_kernel<c10::Half, c10::Half, float, false, long, 2ul
optimizer | void multi_tensor_apply_kernel<TensorListMetadata<4>, AdamFunctor<float>, float, float, float, float
gemm | volta_sgemm_128x32_nn
gemm | Cijk_Ailk_Bljk_B_BS_BH_Bias_HA_S_SAV_UserArgs_MT64x288x64_MI16x16x1_SN_LDSB1_AFC1_AFEM1_AFEM1_ASEM1_
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT128x192x64_MI16x16x1_SN_LDSB1_AFC1_AG0_AFEM1_AFEM1_AS
embedding | void split_embedding_backward_codegen_rowwise_adagrad_unweighted_kernel_warp_per_row_1<c10::Half, fl
communication | ncclKernel_AllReduce_RING_LL_Sum_float(ncclDevComm*, unsigned long, ncclWork*)
gemm | void cutlass::Kernel<cutlass_80_tensorop_s1688gemm_256x64_16x4_tn_align1>(cutlass_80_tensorop_s1688g
gemm | sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_execute_segment_k_off
gemm | volta_sgemm_128x128_tn
elementwise | void at::native::elementwise_kernel_manual_unroll<128, 8, at::native::gpu_kernel_impl_nocast<at::nat
gemm | void cutlass::Kernel<cutlass_80_tensorop_s1688gemm_256x128_32x3_nt_align1>(cutlass_80_tensorop_s1688
embedding | void permute_pooled_embs_kernel<float>(float const*, long const*, long const*, long const*, float*,
reduction | void at::native::reduce_kernel<128, 4, at::native::ReduceOp<float, at::native::func_wrapper_t<float,
sort | void cub::DeviceRadixSortOnesweepKernel<cub::DeviceRadixSortPolicy<long, int, int>::Policy800, false
gemm | void cutlass::Kernel<cutlass_80_tensorop_s1688gemm_256x128_32x3_nn_align1>(cutlass_80_tensorop_s1688
gemm | Cijk_Alik_Bljk_B_BS_BH_Bias_HA_S_SAV_UserArgs_MT256x128x32_MI16x16x1_SN_LDSB1_AFC1_AFEM1_AFEM1_ASEM1
gemm | volta_sgemm_32x128_nt
gemm | volta_sgemm_128x64_nt
moe | _matmul_ogs_NNT_bf16xbf16xmxfp4_128x128x128x1
copy | void at::native::(anonymous namespace)::CatArrayBatchedCopy<float, unsigned int, 2, 128, 1>(float*,
gemm | volta_sgemm_128x32_tn
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT128x96x128_MI16x16x1_SN_LDSB1_AFC1_AG0_AFEM1_AFEM1_AS
norm | void cudnn::bn_bw_1C11_kernel_new<float, float, float2, 128, true, 1>(float, float, float, float, cu
norm | void cudnn::bn_bw_1C11_kernel_new<float, float, float2, 32, true, 1>(float, float, float, float, cud
elementwise | void at::native::elementwise_kernel<128, 2, at::native::gpu_kernel_impl<at::native::CUDAFunctor_add<
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT64x96x128_MI16x16x1_SN_LDSB1_AFC1_AG0_AFEM1_AFEM1_ASE
embedding | void split_embedding_backward_codegen_rowwise_adagrad_unweighted_kernel_warp_per_row_1<float, float,
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT96x96x128_MI16x16x1_SN_LDSB1_AFC1_AG0_AFEM1_AFEM1_ASE
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT256x128x64_MI16x16x1_SN_LDSB1_AFC1_AG0_AFEM1_AFEM1_AS
elementwise | void at::native::vectorized_elementwise_kernel<4, at::native::(anonymous namespace)::launch_clamp_sc
elementwise | void at::native::elementwise_kernel<128, 2, at::native::gpu_kernel_impl<at::native::BinaryFunctor<fl
embedding | void split_embedding_codegen_forward_unweighted_kernel<float, float, float, long, 5ul>(at::GenericPa
gemm | volta_sgemm_64x64_tn
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT192x128x64_MI16x16x1_SN_LDSB1_AFC1_AG0_AFEM1_AFEM1_AS
gemm | Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT128x64x128_MI16x16x1_SN_LDSB1_AFC1_AG0_AFEM1_AFEM1_AS
elementwise | void at::native::vectorized_elementwise_kernel<4, at::native::AUnaryFunctor<float, float, float, at:
"""

TRAPS = {
    # Collectives: names with Sum are no reductions, and not all begin with nccl.
    "communication": [
        "void (anonymous namespace)::multimem_all_reduce_kernel<c10::BFloat16, 16>(c10::BFloat16*, unsigned long)",
        "void vllm::cross_device_reduce_1stage<__nv_bfloat16, 8>(vllm::RankData*, vllm::RankSignals)",
        "void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<(flashinfer::A)1>(int)",
        "void quickreduce::allreduce_prototype_twoshot<quickreduce::AllReduceTwoshot<__half>>(int)",
        "ncclDevKernel_ReduceScatter_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
        "_ZN5aiter25cross_device_reduce_2stageI14__hip_bfloat16Li8EEEvPNS_8RankDataE",
    ],
    # The prefix of compiled kernels comes before the operators that they list.
    "fused": [
        "triton_poi_fused__scaled_dot_product_flash_attention_0",
        "triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_3",
        "triton_per_fused_native_layer_norm_1",
        "triton_poi_fused_constant_pad_nd_moe_forward_0",
        "triton__0d1d2de",
        "loop_select_fusion_3",
    ],
    "attention": [
        "void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<64, 128>>(int)",
        "void paged_attention_ll4mi_QKV_mfma16_kernel<0, __hip_bfloat16, (vllm::Fp8KVCacheDataType)0>(int)",
        "void paged_attention_ll4mi_reduce_kernel<__hip_bfloat16, 128>(__hip_bfloat16*, float const*)",
        "fmhaSm100aKernel_QkvE4m3OBfloat16H64PagedKvCausalP16VarSeqQ128Kv128PersistentContext",
        "kernel_unified_attention_3d",
        "reduce_segments",
        "triton_tem_fused_flex_attention_0",
        "_ZN5aiter33fmha_fwd_hd128_bf16_causal_rtneE",
        "_ZN7ck_tile6kentryILi2ENS_36FmhaBatchPrefillWithPagedKVCacheKernelINS_38BlockFmhaPipelineEEEEEvT_",
        "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<int>>>(int)",
        "sage_fwd",
        "_fwd_grouped_kernel_stage1",
        "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x128",
    ],
    "kv_cache": [
        "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, unsigned char>(__nv_bfloat16 const*)",
        "void (anonymous namespace)::store_kvcache<2048l, 4, false, long>((anonymous namespace)::Params)",
        "create_flashinfer_kv_indices_triton",
        "_copy_page_indices_kernel",
    ],
    "moe": [
        "bmm_MxE4m3_MxE2m1MxE4m3_Fp32_t128x16x256u2_s3_et128x16_m128x16x32_clmp_swiGlu_dynBatch_sm100f",
        "void moe::dev::routing::routingIndicesHistogramKernel<moe::dev::routing::routingRenormalize::K<bf16>>(int)",
        "_combined_routing_memset",
        "_finalize_matmul_scatter_bf16",
        "_topk_forward",
        "fused_moe_kernel",
        "void vllm::moe::topkGatingSoftmax<4, 32, 4, 16, int>(float const*)",
        "_ZN7ck_tile6kentryILi1ENS_15MoeFlatmmKernelINS_4TileEEEEEvT_",
    ],
    "norm": [
        (
            "std::enable_if<(((8)>(0)))&&vllm::_typeConvert<c10::BFloat16>::exists, void>::type "
            "vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*, long)"
        ),
        "_ZN5aiter24add_rmsnorm_quant_kernelIDF16bDF16bLi256ELi16ELb1ELb0ELb1ELi1EEEvPT0_PT_PfS4_S4_S4_diiiiiiib",
        "_ZN7ck_tile6kentryILi1ENS_12Rmsnorm2dFwdINS_27Rmsnorm2dFwdPipelineOnePassINS_4TileEEEEEvT_",
        "void at::native::(anonymous namespace)::GammaBetaBackwardCUDAKernel<float, float>(long, long)",
    ],
    # A matrix product's last step is no reduction of its own.
    "gemm": [
        "void splitKreduce_kernel<float, float, float, float, true, false, false>(cublasSplitKParams<float>)",
        "void epilogue::impl::globalKernel<float, float, float, true, true>(int, int, long, float*)",
        "std::enable_if<!(false), void>::type internal::gemvx::kernel<int, int, float, false, 7>(int)",
        "nvjet_tst_64x64_64x16_2x1_2cta_v_bz_bias_TNT",
        "bmm_Bfloat16_E4m3E4m3_Fp32_t128x64x128u2_s6_et64x64",
        "triton_tem_fused_addmm_relu_2",
        "void gptq_marlin::Marlin<__nv_bfloat16, 1125899906909960l>(int4 const*)",
        "_w8a8_block_fp8_matmul",
    ],
    "conv": [
        "sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x64x64",
        "void cudnn::engines_precompiled::nchwToNhwcKernel<__nv_bfloat16, float, false>(int)",
        "void implicit_convolve_sgemm<float, float, 1024, 5>(int)",
        "igemm_fwd_gtcx3_nhwc_fp16_bx0_ex1_bt256x64x32",
        "cudnn_infer_ampere_scudnn_128x64_relu_xregs_large_nn_v1",
    ],
    "softmax": [
        "void (anonymous namespace)::softmax_warp_forward<float, float, float, 8, true, false>(float*)"
    ],
    "rope": ["void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*, c10::BFloat16*)"],
    "quantise": [
        "void vllm::scaled_fp8_quant_kernel_strided<c10::BFloat16, c10::Float8_e4m3fn>(int)",
        "void tensorrt_llm::kernels::quantize_with_block_size<(tensorrt_llm::T)2, __nv_bfloat16, 32, true>(int)",
        "sage_quant_kernel",
    ],
    # The functor in a generic wrapper decides.
    "copy": [
        (
            "void at::native::elementwise_kernel<128, 2, at::native::gpu_kernel_impl_nocast<"
            "at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)::{lambda()#3}>(int)"
        ),
        "void at::native::vectorized_elementwise_kernel<4, at::native::bfloat16_copy_kernel_cuda(at::T&)>(int)",
        (
            "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<TensorListMetadata<2>, "
            "at::native::(anonymous namespace)::CopyFunctor<float>>(int)"
        ),
        "__amd_rocclr_copyBuffer.kd",
    ],
    "memset": ["__amd_rocclr_fillBufferAligned.kd"],
    "embedding": [
        "void at::native::(anonymous namespace)::indexSelectLargeIndex<c10::BFloat16, long>(int)",
        "void at::native::index_elementwise_kernel<128, 4, at::native::gpu_index_kernel<int>>(int)",
        "void at::native::_scatter_gather_elementwise_kernel<128, 4, at::native::ReduceAdd>(int)",
        "void at::native::vectorized_gather_kernel<16, long>(char*, char*, long*, int)",
        "void recat_copy_async_kernel<float>(long const*, long const*)",
    ],
    "elementwise": [
        (
            "void at::native::unrolled_elementwise_kernel<at::native::CUDAFunctor_add<float>, "
            "at::detail::Array<char*, 3>, at::native::memory::LoadWithCast<2>>(int)"
        ),
        "_ZN7sgl_hip10activation18act_and_mul_kernelI14__hip_bfloat16TnPFT_RKS3_EXadL_Z4siluIS2_ES3_S5_EEEEvPS3_PS4_i",
        "void (anonymous namespace)::elementwise_kernel_with_index<int, at::native::arange_cuda_out(int)>(int)",
        (
            "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<TensorListMetadata<2>, "
            "BinaryOpListAlphaFunctor<float, 2, 2, 0>, std::plus<float>, float>(int)"
        ),
    ],
    "reduction": [
        "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::NormTwoOps<float>>>(int)",
        "void cub::DeviceReduceByKeyKernel<cub::DispatchReduceByKey<long*>::PtxReduceByKeyPolicy, long*>(long*)",
    ],
    "sort": [
        "void at::native::sbtopk::gatherTopK<float, unsigned int, 2, false>(int)",
        "void rocprim::ROCPRIM_400200_NS::detail::trampoline_kernel<wrapped_scan_config<int>>(int)",
        "void cub::DeviceScanKernel<cub::AgentScanPolicy<128, 15, int>, cub::Sum>(int*)",
        "void at::native::radixSortKVInPlace<-2, -1, 32, 4, float, long, unsigned int>(int)",
    ],
    "other": ["kernel", "my_own_thing"],
}


@pytest.mark.parametrize("line", TOP.strip().splitlines())
def test_the_names_that_take_the_most_time(line):
    category, name = line.split(" | ")
    assert kernel_category(name) == category


@pytest.mark.parametrize(("category", "name"), [(c, name) for c, names in TRAPS.items() for name in names])
def test_traps(category, name):
    assert kernel_category(name) == category


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("void a::b<c<d>, 3>(e*)", "a::b"),
        ("attn_fwd", "attn_fwd"),
        ("void (anonymous namespace)::store<long>((anonymous namespace)::P)", "store"),
        ("std::enable_if<(((8)>(0)))&&x<y>::z, void>::type n::f<int>(int)", "n::f"),
        ("void a::f<b::g(int)::{lambda()#3}::operator()() const::{lambda(float)#1}>(int)", "a::f"),
        ("_ZN5aiter3abcIDF16bEEvT_", "aiter::abc"),
        ("_ZN", "_ZN"),
        ("void cut::off<at::in, the", "cut::off"),
        ("", ""),
        ("<<<", "<<<"),
    ],
)
def test_a_name_without_its_arguments(name, head):
    assert kernel_head(name) == head


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("aten::mm", "gemm"),
        ("aten::addmm", "gemm"),
        ("AddmmBackward0", "gemm"),
        ("autograd::engine::evaluate_function: MulBackward0", "elementwise"),
        ("aten::add_", "elementwise"),
        ("aten::expand", "other"),
        ("aten::new_empty", "other"),
        ("aten::maximum", "elementwise"),
        ("aten::max", "reduction"),
        ("aten::max_pool2d", "conv"),
        ("aten::_flash_attention_forward", "attention"),
        ("aten::native_layer_norm", "norm"),
        ("aten::embedding", "embedding"),
        ("aten::copy_", "copy"),
        ("aten::to", "copy"),
        ("aten::topk", "sort"),
        ("vllm::all_reduce", "communication"),
        ("nccl:all_to_all", "communication"),
        ("vllm::moe_forward", "moe"),
        ("Optimizer.step#SGD.step", "optimizer"),
        ("aten::_softmax", "softmax"),
        ("", "other"),
    ],
)
def test_operators(name, category):
    assert operator_category(name) == category


def test_all_categories_of_the_tables_are_explained():
    used = {category for category, _ in (*HEADS, *OPERATORS)} | set(PLAIN_OPERATORS)
    used |= {category for family in FAMILIES for category, _ in family.rows}
    used |= {family.default for family in FAMILIES if family.default}
    assert used <= set(CATEGORIES)
    assert tuple(CATEGORIES) == CATEGORY_TABLE


def test_tokens_are_lower_case_and_not_hidden_by_shorter_ones_of_their_row():
    rows = [*HEADS, *OPERATORS, *(row for family in FAMILIES for row in family.rows)]
    for category, tokens in rows:
        assert all(token == token.lower() for token in tokens), category
        for token in tokens:
            covers = [t for t in tokens if t != token and t[0] not in "^=" and t in token.lstrip("^=")]
            assert not covers, f"{category}: {token} is covered by {covers}"


def test_a_nameless_kernel_is_told_by_the_operators_that_spend_its_time(tmp_path):
    builder = TraceBuilder()
    builder.op("aten::mm", 0, 10).launch(1, 1).op("aten::add", 20, 10).launch(21, 2)
    builder.op("aten::mm", 40, 10).launch(41, 3)
    builder.kernel("kernel", 100, 7, 1).kernel("kernel", 110, 9, 2).kernel("kernel", 120, 3, 3)
    builder.kernel("stray", 130, 1, 99).memset(140, 1, 98)
    builder.kernel("Memcpy HtoD (Pageable -> Device)", 150, 1, 97, cat="gpu_memcpy")
    trace = builder.read(tmp_path)
    codes = _codes(trace)
    assert [CATEGORY_TABLE[code] for code in codes] == ["gemm", "gemm", "gemm", "other", "memset", "copy"]


def test_a_trace_without_operators_has_nameless_kernels(tmp_path):
    trace = TraceBuilder().launch(0, 1).kernel("kernel", 5, 1, 1).read(tmp_path)
    codes = _codes(trace)
    assert [CATEGORY_TABLE[code] for code in codes] == ["other"]


@pytest.mark.parametrize("truth", shared_truth())
def test_little_is_unclassified_in_foreign_traces(truth):
    trace = read_trace(SHARED_TRACES / truth["file"])
    time = trace.events.dur_ns[find_device_rows(trace)]
    assert time[_codes(trace) == CATEGORY_TABLE.index("other")].sum() <= 0.03 * time.sum()


def _codes(trace):
    """The category of each device event, in the trace's order."""
    launched = find_launched(trace)
    categories = [CATEGORY_TABLE.index(category) for category in launched.labels.categories]
    return np.array(categories)[launched.label[np.argsort(launched.work.rows)]]
