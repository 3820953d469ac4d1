#define _GNU_SOURCE
#include "init.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

static const char PREFIX[] = "glassclave-init: ";

/* One write per line, so that lines of init and of the application do not mix. */
void say(const char *format, ...)
{
    char text[1024], line[sizeof PREFIX + 4 * sizeof text + 1];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    size_t used = sizeof PREFIX - 1;
    memcpy(line, PREFIX, used);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c >= 0x7f) /* names come from the image: no terminal control from there */
            used += (size_t)snprintf(line + used, 5, "\\x%02x", *c);
        else
            line[used++] = (char)*c;
    }
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0)
        return; /* nobody listens: nothing more to be done */
}

/* The kernel opens no console for us: /dev is empty when it starts init. */
void use_console(void)
{
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    if (console < 0)
        console = open("/dev/null", O_RDWR);
    if (console < 0)
        return;
    for (int target = 0; target <= 2; target++)
        if (console != target)
            dup2(console, target);
    if (console > 2)
        close(console);
}

void end_enclave(void)
{
    sync();
    tcdrain(STDERR_FILENO); /* the reset would cut off what the serial line still holds */
    reboot(RB_AUTOBOOT);
    for (;;) /* PID 1 must not return: the kernel would panic */
        pause();
}
