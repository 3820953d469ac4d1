/* hello - a service for an AWS Nitro enclave: HTTP over vsock, port 8080.
 *
 *   GET /                                   a greeting
 *   GET /enclave/attestation?nonce=HEX      the enclave's attestation document for that nonce, in Base64
 *
 * The second is nitriding's convention; the nonce may have 16 to 64 bytes. One connection at a time, one request
 * per connection, nothing kept between them. No library but the C library, so the whole enclave is this file. */

#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    PORT = 8080,
    SECONDS = 5,          /* that a peer may be silent */
    HEAD_MAX = 4096,      /* bytes of a request's head */
    NONCE_MIN = 16,
    NONCE_MAX = 64,       /* the NSM would take 512 */
    RESPONSE_MAX = 0x3000 /* bytes of an answer of the NSM (nsm-api, "driver") */
};

struct nsm_message { /* what the driver's ioctl takes */
    struct iovec request, response;
};
#define NSM_IOCTL _IOWR(0x0A, 0, struct nsm_message)

struct bytes {
    const uint8_t *data;
    size_t size;
};

/* --- the enclave's security module ------------------------------------------------------------------------ */

static uint8_t answer[RESPONSE_MAX];

/* Moves past `expected`, or says that something else is there. */
static bool skip(struct bytes *in, const char *expected, size_t size) {
    if (in->size < size || memcmp(in->data, expected, size) != 0)
        return false;
    in->data += size;
    in->size -= size;
    return true;
}

/* The document in {"Attestation": {"document": bytes}}; `{"Error": …}` and all else give false. */
static bool document_in(struct bytes in, struct bytes *document) {
    static const char before[] = "\xa1\x6b" "Attestation" "\xa1\x68" "document";
    if (!skip(&in, before, sizeof before - 1) || in.size < 3 || in.data[0] != 0x59) /* a length of two bytes */
        return false;
    size_t size = (size_t)in.data[1] << 8 | in.data[2];
    *document = (struct bytes){in.data + 3, size};
    return in.size - 3 == size;
}

/* Asks for a document that holds the nonce. The request is CBOR (RFC 8949) as the nsm-api library writes it. */
static bool attest(struct bytes nonce, struct bytes *document) {
    static const char before[] = "\xa1\x6b" "Attestation" "\xa3\x69" "user_data" "\xf6\x65" "nonce" "\x58";
    static const char after[] = "\x6a" "public_key" "\xf6";
    uint8_t request[sizeof before + 1 + NONCE_MAX + sizeof after], *end = request;
    end = (uint8_t *)memcpy(end, before, sizeof before - 1) + sizeof before - 1;
    *end++ = (uint8_t)nonce.size;
    end = (uint8_t *)memcpy(end, nonce.data, nonce.size) + nonce.size;
    end = (uint8_t *)memcpy(end, after, sizeof after - 1) + sizeof after - 1;
    struct nsm_message message = {{request, (size_t)(end - request)}, {answer, sizeof answer}};
    int nsm = open("/dev/nsm", O_RDWR | O_CLOEXEC);
    if (nsm < 0)
        return false;
    bool done = ioctl(nsm, NSM_IOCTL, &message) == 0;
    close(nsm);
    return done && message.response.iov_len <= sizeof answer &&
           document_in((struct bytes){answer, message.response.iov_len}, document);
}

/* --- HTTP -------------------------------------------------------------------------------------------------- */

static void send_all(int client, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(client, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the peer went away: its business */
        data += sent;
        size -= (size_t)sent;
    }
}

static void reply(int client, const char *status, const char *body) {
    char head[256];
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                        status, strlen(body));
    printf("%s\n", status);
    send_all(client, head, (size_t)size);
    send_all(client, body, strlen(body));
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Reads hex up to the space that ends the address. */
static bool parse_nonce(const char *text, uint8_t nonce[NONCE_MAX], size_t *size) {
    for (*size = 0; digit(text[0]) >= 0 && digit(text[1]) >= 0; text += 2) {
        if (*size == NONCE_MAX)
            return false;
        nonce[(*size)++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
    }
    return *text == ' ' && *size >= NONCE_MIN;
}

static const char *base64(struct bytes in) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char text[(RESPONSE_MAX + 2) / 3 * 4 + 1];
    char *out = text;
    for (size_t i = 0; i < in.size; i += 3) {
        size_t left = in.size - i;
        uint32_t group = (uint32_t)in.data[i] << 16;
        group |= left > 1 ? (uint32_t)in.data[i + 1] << 8 : 0;
        group |= left > 2 ? in.data[i + 2] : 0;
        *out++ = letters[group >> 18];
        *out++ = letters[group >> 12 & 63];
        *out++ = left > 1 ? letters[group >> 6 & 63] : '=';
        *out++ = left > 2 ? letters[group & 63] : '=';
    }
    *out = '\0';
    return text;
}

static void reply_document(int client, const char *hex) {
    uint8_t nonce[NONCE_MAX];
    size_t size;
    struct bytes document;
    if (!parse_nonce(hex, nonce, &size))
        reply(client, "400 Bad Request", "the nonce must be 16 to 64 bytes in hex\n");
    else if (!attest((struct bytes){nonce, size}, &document))
        reply(client, "503 Service Unavailable", "there is no security module here: this is no enclave\n");
    else
        reply(client, "200 OK", base64(document));
}

/* The head of a request, ended by an empty line; false where none came in time. */
static bool read_head(int client, char head[HEAD_MAX + 1]) {
    size_t size = 0;
    time_t latest = time(NULL) + SECONDS;
    do {
        if (time(NULL) > latest)
            return false; /* a peer that sends a byte now and then would keep all others out */
        ssize_t got = recv(client, head + size, HEAD_MAX - size, 0);
        if (got <= 0)
            return false;
        size += (size_t)got;
        head[size] = '\0';
    } while (strstr(head, "\r\n\r\n") == NULL);
    return true;
}

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

static void serve(int client) {
    static const char path[] = "/enclave/attestation?nonce=";
    char head[HEAD_MAX + 1];
    if (!read_head(client, head))
        return;
    if (!begins(head, "GET "))
        reply(client, "405 Method Not Allowed", "only GET is answered\n");
    else if (begins(head + 4, "/ "))
        reply(client, "200 OK", "Hello from an enclave. To see which one: GET /enclave/attestation?nonce=HEX\n");
    else if (begins(head + 4, path))
        reply_document(client, head + 4 + strlen(path));
    else
        reply(client, "404 Not Found", "there are / and /enclave/attestation?nonce=HEX\n");
}

static int fail(const char *what) {
    perror(what);
    return 1;
}

int main(void) {
    const struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = PORT};
    const struct timeval patience = {.tv_sec = SECONDS};
    setvbuf(stdout, NULL, _IOLBF, 0);
    int server = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || bind(server, (const struct sockaddr *)&address, sizeof address) != 0 || listen(server, 16) != 0)
        return fail("hello: vsock port 8080");
    printf("hello: listening on vsock port %d\n", PORT);
    for (;;) {
        int client = accept(server, NULL, NULL);
        if (client < 0)
            continue; /* a peer that went away before it was taken */
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        serve(client);
        close(client);
    }
}
