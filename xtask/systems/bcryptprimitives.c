/* Debian 12's wine has no bcryptprimitives.dll. Rust's library asks it for random bytes, and for nothing else; this
 * stand-in hands the question on to the source that wine does have. Real Windows brings the real one. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length)
{
    return RtlGenRandom(bytes, (ULONG)length);
}
