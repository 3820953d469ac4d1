"""A vhost-user vsock device for QEMU: standard library only, one thread, Unix sockets on the host side.

Read in this order: `packet` (virtio 1.2 §5.10.6), `connection` (state and credit), `switch` (what each
packet does), `ring` and `memory` (virtio 1.2 §2.7), `ports` (packets on rings), `vhost_user` and `front_end`
(the protocol that QEMU speaks), `host` (Unix sockets), `device` (the loop).

Memory ordering: a plain store followed by a load may be reordered even on x86-64, and Python has no fence.
The device needs none because it never suppresses a notification and never looks whether the guest did; the
store-store and load-load orders that the rings do need are kept by x86-64. No claim is made for other hosts.
"""
