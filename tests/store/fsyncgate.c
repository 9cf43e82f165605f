/* A disk whose fsync can fail as Linux fails it: what was dirty then counts as clean, so the next fsync succeeds without it.

   Preloaded (LD_PRELOAD) into a process. Files under $DISK are what the process and its page cache see; $DISK_AFTER_POWER_CUT
   holds what would be left of them after a power cut. While the file $DISK_FAILS exists, fsync and fdatasync fail with EIO. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 16
#define PAGE 4096
#define PAGES 65536

static struct { char path[PATH_MAX]; char dirty[PAGES]; } files[FILES];

/* The dirty pages of the file behind `fd`, or NULL for one outside $DISK. */
static char *dirty_pages(int fd, char *path) {
    char link[64];
    const char *disk = getenv("DISK");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0 || disk == NULL) return NULL;
    path[length] = 0;
    if (strncmp(path, disk, strlen(disk)) != 0) return NULL;
    for (int i = 0; i < FILES; i++) {
        if (files[i].path[0] == 0) strcpy(files[i].path, path);
        if (strcmp(files[i].path, path) == 0) return files[i].dirty;
    }
    abort();
}

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) {
    char path[PATH_MAX], *dirty = dirty_pages(fd, path);
    if (dirty)
        for (off_t page = at / PAGE; page <= (off_t)(at + size - 1) / PAGE; page++) dirty[page] = 1;
    if (!real_pwrite) real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    return real_pwrite(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

int fdatasync(int fd) {
    char path[PATH_MAX], left[2 * PATH_MAX], page[PAGE], *dirty = dirty_pages(fd, path);
    if (!dirty) return 0;
    int fails = access(getenv("DISK_FAILS"), F_OK) == 0;
    if (!fails) {
        struct stat now;
        snprintf(left, sizeof left, "%s/%s", getenv("DISK_AFTER_POWER_CUT"), strrchr(path, '/') + 1);
        int from = open(path, O_RDONLY), to = open(left, O_RDWR | O_CREAT, 0600);
        if (from < 0 || to < 0 || fstat(from, &now) || ftruncate(to, now.st_size)) abort();
        if (!real_pwrite) real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
        for (off_t at = 0; at < now.st_size; at += PAGE) {
            if (!dirty[at / PAGE]) continue;
            ssize_t size = pread(from, page, PAGE, at);
            if (real_pwrite(to, page, size, at) != size) abort();
        }
        close(from);
        close(to);
    }
    memset(dirty, 0, PAGES);
    if (fails) errno = EIO;
    return fails ? -1 : 0;
}

int fsync(int fd) { return fdatasync(fd); }
