/* The two things that only an enclave has: a parent instance over vsock, and the Nitro Secure Module. */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Written out, so that no kernel headers are needed (include/uapi/linux/vm_sockets.h). */
enum { VSOCK_FAMILY = 40, PARENT_CID = 3, HEARTBEAT_PORT = 9000, HEARTBEAT = 0xb7, ANSWER_SECONDS = 30 };

struct vsock_address {
    unsigned short family;
    unsigned short reserved;
    unsigned int port;
    unsigned int cid;
    unsigned char flags;
    unsigned char zero[3];
};
_Static_assert(sizeof(struct vsock_address) == sizeof(struct sockaddr), "struct sockaddr_vm is 16 bytes");

void look_for_nsm(void)
{
    int device = open("/dev/nsm", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        say("/dev/nsm: %s: no attestation documents in this enclave", strerror(errno));
        return;
    }
    close(device);
}

void beat(void)
{
    unsigned char byte = HEARTBEAT;
    struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    struct vsock_address parent = {.family = VSOCK_FAMILY, .port = HEARTBEAT_PORT, .cid = PARENT_CID};
    int link = socket(VSOCK_FAMILY, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link < 0)
        FATAL("heartbeat: no vsock: %s", strerror(errno));
    setsockopt(link, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(link, (struct sockaddr *)&parent, sizeof parent) < 0)
        FATAL("heartbeat: connect to vsock 3:9000: %s", strerror(errno));
    if (write(link, &byte, 1) != 1)
        FATAL("heartbeat: send: %s", strerror(errno));
    ssize_t got = read(link, &byte, 1);
    if (got != 1)
        FATAL("heartbeat: no answer: %s", got < 0 ? strerror(errno) : "connection closed");
    if (byte != HEARTBEAT)
        FATAL("heartbeat: answered 0x%02x instead of 0x%02x", byte, HEARTBEAT);
    close(link);
}
