"""Ramdisks: cpio archives that the kernel unpacks into its root (initramfs)."""
