/* The root directory and the file systems that programs expect. */
#define _GNU_SOURCE
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAFE (MS_NOSUID | MS_NODEV | MS_NOEXEC)

struct place {
    const char *type, *path, *options;
    unsigned long flags;
    int keep_contents; /* where the image has something there, leave it in sight */
};

static const struct place DEVICES = {"devtmpfs", "/dev", "mode=0755", MS_NOSUID | MS_NOEXEC, 0};

static const struct place PLACES[] = {
    {"proc", "/proc", "", SAFE, 0},
    {"sysfs", "/sys", "", SAFE, 0},
    {"devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, 0},
    {"tmpfs", "/dev/shm", "mode=1777", SAFE, 0},
    {"mqueue", "/dev/mqueue", "", SAFE, 0},
    {"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV, 1},
    {"tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV, 1}, /* programs are unpacked and run there */
    {"cgroup2", "/sys/fs/cgroup", "", SAFE, 0},
};

static int is_empty(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return 1; /* the mount will tell */
    int names = 0;
    while (readdir(directory))
        names++;
    closedir(directory);
    return names <= 2;
}

static void put(const struct place *place)
{
    mkdir(place->path, 0755); /* there already, or the mount fails and names the reason */
    if (place->keep_contents && !is_empty(place->path))
        return;
    if (mount(place->type, place->path, place->type, place->flags, place->options) < 0 && errno != EBUSY)
        say("%s: cannot mount %s: %s", place->path, place->type, strerror(errno));
}

void mount_early(void)
{
    put(&DEVICES);
}

/* The initial root of a ramdisk cannot be unmounted or pivoted: move the image's tree over it. */
void enter_root(void)
{
    umount2("/dev", MNT_DETACH);
    if (mount("/rootfs", "/rootfs", NULL, MS_BIND, NULL) < 0 || chdir("/rootfs") < 0)
        FATAL("/rootfs: %s", strerror(errno));
    if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        FATAL("cannot make /rootfs the root directory: %s", strerror(errno));
}

static void link_devices(void)
{
    static const char *const LINKS[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"}};
    for (size_t i = 0; i < sizeof LINKS / sizeof *LINKS; i++)
        if (symlink(LINKS[i][0], LINKS[i][1]) < 0 && errno != EEXIST)
            say("%s: %s", LINKS[i][1], strerror(errno));
}

void mount_all(void)
{
    put(&DEVICES);
    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++)
        put(&PLACES[i]);
    link_devices();
    /* For every user, as udev's rules have them; the kernel gives /dev/nsm and /dev/net/tun to all itself. */
    if (chmod("/dev/vsock", 0666) < 0 || chmod("/dev/fuse", 0666) < 0)
        say("/dev: %s", strerror(errno));
}

static void write_text(const char *path, int flags, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0644);
    if (file < 0 || write(file, text, strlen(text)) < 0)
        say("%s: %s", path, strerror(errno));
    if (file >= 0)
        close(file);
}

void set_up_network(void)
{
    struct ifreq loopback = {.ifr_name = "lo"};
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (handle < 0 || ioctl(handle, SIOCGIFFLAGS, &loopback) < 0) {
        say("lo: %s", strerror(errno));
    } else {
        loopback.ifr_flags |= IFF_UP | IFF_RUNNING;
        if (ioctl(handle, SIOCSIFFLAGS, &loopback) < 0)
            say("lo: %s", strerror(errno));
    }
    if (handle >= 0)
        close(handle);
    /* As in a container: any user may listen on port 80 and send pings. */
    write_text("/proc/sys/net/ipv4/ip_unprivileged_port_start", 0, "0");
    write_text("/proc/sys/net/ipv4/ping_group_range", 0, "0 2147483647");
    /* Container engines write this file when they start a container, so images come without it. */
    struct stat status;
    if (lstat("/etc/hosts", &status) < 0 ? errno == ENOENT : S_ISREG(status.st_mode) && status.st_size == 0) {
        mkdir("/etc", 0755);
        write_text("/etc/hosts", O_CREAT, "127.0.0.1 localhost\n::1 localhost\n");
    }
}
