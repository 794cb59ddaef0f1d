/* What sender.c and receiver.c have in common: the head of the region, the digest, the progress. */

#ifndef MESSAGE_H
#define MESSAGE_H

#include <openssl/evp.h>
#include <shmkit_helpers.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The head of the region. Offsets count from the region's first byte. */
struct message {
    uint64_t text_offset, text_size;
    uint64_t file_offset, file_size;
};

enum { CHUNK = 16 << 20 };

/* Tells on stderr how far a large job is: a line rewritten on a terminal, else a line each tenth. */
static inline void show_progress(const char *job, size_t before, size_t done, size_t total)
{
    bool terminal = isatty(STDERR_FILENO);

    if (total <= (size_t)256 << 20 || (!terminal && before * 10 / total == done * 10 / total))
        return;
    fprintf(stderr, "%s%s: %zu of %zu MiB%s", terminal ? "\r\033[K" : "", job, done >> 20, total >> 20,
            terminal && done < total ? "" : "\n");
}

/* Prints the SHA-256 of the bytes as sha256sum(1) does. */
static inline bool print_sha256(const char *job, const char *data, size_t size, const char *name)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_size;
    bool good = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

    for (size_t done = 0; good && done < size;) {
        size_t part = size - done < CHUNK ? size - done : CHUNK;

        good = EVP_DigestUpdate(context, data + done, part) == 1;
        show_progress(job, done, done + part, size);
        done += part;
    }
    good = good && EVP_DigestFinal_ex(context, digest, &digest_size) == 1;
    EVP_MD_CTX_free(context);
    if (!good) {
        fprintf(stderr, "%s: libcrypto failed\n", job);
        return false;
    }
    for (unsigned i = 0; i < digest_size; i++)
        printf("%02x", digest[i]);
    printf("  %s\n", name);
    return true;
}

/* Prints which open file stands behind a region: the same one in both processes. */
static inline bool print_region(const char *who, const shm_region *region)
{
    int fd = shm_region_fd(region);
    struct stat info;

    if (fstat(fd, &info) < 0) {
        perror("fstat");
        return false;
    }
    printf("%s: descriptor %d, device %u:%u, inode %llu, %zu bytes\n", who, fd, major(info.st_dev),
           minor(info.st_dev), (unsigned long long)info.st_ino, shm_region_size(region));
    return true;
}

#endif
