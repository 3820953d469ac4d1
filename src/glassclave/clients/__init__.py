"""The one room that touches the world: network, processes, sockets, clocks."""
