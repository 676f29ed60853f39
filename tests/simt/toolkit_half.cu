/* The toolkit's own half types, which work without nvcc; see values.h. */
#include <cuda_bf16.h>
#include <cuda_fp16.h>

extern "C" unsigned short toolkit_to_half(float f)
{
	return __half_as_ushort(__float2half_rn(f));
}

extern "C" unsigned short toolkit_to_bfloat16(float f)
{
	return __bfloat16_as_ushort(__float2bfloat16_rn(f));
}

extern "C" float toolkit_from_half(unsigned short h)
{
	return __half2float(__ushort_as_half(h));
}
