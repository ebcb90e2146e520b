// end.h ends what avx512.h and its like began.
#undef ISA
#undef PAIRS
#undef STEPS
#undef REGISTER
#undef MR
#undef ME
#undef WIDE
#undef MID
#undef SLIM
#undef MULADD
#undef LANES
#ifndef LAST
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
