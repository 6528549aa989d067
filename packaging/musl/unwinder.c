/* What GCC's unwinder needs of glibc, for static programs on musl.
 *
 * The unwinder of a GCC that was built against glibc 2.35 or newer finds a function's unwind table by glibc's
 * `_dl_find_object`. musl does not have it, but has what it needs: the program headers. Contract and structure:
 * glibc's dlfcn.h.
 */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stddef.h>

/* The unwinder names these weakly and calls them all the same. A weak name takes nothing out of an archive, so without
 * these strong ones the first panic would call address 0. */
__attribute__((used)) static void *const needed[] = {
    (void *)pthread_once,         (void *)pthread_key_create,   (void *)pthread_getspecific,
    (void *)pthread_setspecific,  (void *)pthread_mutex_lock,   (void *)pthread_mutex_unlock,
};

struct found {
    unsigned long long flags;
    void *map_start;
    void *map_end;
    struct link_map *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

struct search {
    char *address;
    struct found *result;
};

static int look(struct dl_phdr_info *object, size_t size, void *argument)
{
    struct search *search = argument;
    char *start = NULL, *end = NULL, *eh_frame = NULL;
    int is_inside = 0;
    (void)size;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        char *from = (char *)object->dlpi_addr + part->p_vaddr;
        char *to = from + part->p_memsz;
        if (part->p_type == PT_GNU_EH_FRAME)
            eh_frame = from;
        if (part->p_type != PT_LOAD)
            continue;
        if (start == NULL || from < start)
            start = from;
        if (to > end)
            end = to;
        if (search->address >= from && search->address < to)
            is_inside = 1;
    }
    if (!is_inside || eh_frame == NULL)
        return 0;
    *search->result = (struct found){.map_start = start, .map_end = end, .eh_frame = eh_frame};
    return 1;
}

int _dl_find_object(void *address, struct found *result);

int _dl_find_object(void *address, struct found *result)
{
    struct search search = {address, result};
    return dl_iterate_phdr(look, &search) == 1 ? 0 : -1;
}
