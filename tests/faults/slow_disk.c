// A disk whose flushes are slow: loaded into Postgres, it waits before each flush of the server's log for as many milliseconds as a file
// says. (A new segment of the log is made with `fsync`, half a dozen in a row while nobody can commit: that is another fault.)

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_as_told(void) {
    const char *path = getenv("HAIQU_FLUSH_MS_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    long ms = 0;
    if (file) {
        if (fscanf(file, "%ld", &ms) != 1) ms = 0;
        fclose(file);
    }
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) == -1) {}
}

int fdatasync(int fd) {
    wait_as_told();
    return (int)syscall(SYS_fdatasync, fd);
}
