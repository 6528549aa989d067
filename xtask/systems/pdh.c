/* Wine 8 aborts a program that asks for its performance objects, as the agent does for the processor's use. This
 * stand-in says of everything that it is not to be had, which the agent takes as not told. Real Windows brings the
 * real one. */
#include <windows.h>
#include <pdhmsg.h>

#define ABSENT(name) \
    __declspec(dllexport) LONG WINAPI name(void) \
    { \
        return PDH_NO_DATA; \
    }

/* On x86-64 the caller cleans up after its arguments, so that none need be named. */
ABSENT(PdhAddEnglishCounterW)
ABSENT(PdhCloseQuery)
ABSENT(PdhCollectQueryData)
ABSENT(PdhEnumObjectsW)
ABSENT(PdhGetFormattedCounterValue)
ABSENT(PdhOpenQueryW)
ABSENT(PdhRemoveCounter)
