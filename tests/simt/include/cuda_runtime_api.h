/* The toolkit's name for the host half of cuda_runtime.h. */
#include "cuda_runtime.h"
