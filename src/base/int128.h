/* 128-bit integers: rate x time and bits x 10^9 need them. */
#ifndef PP_BASE_INT128_H
#define PP_BASE_INT128_H

__extension__ typedef __int128 pp_int128;
__extension__ typedef unsigned __int128 pp_uint128;

#endif
