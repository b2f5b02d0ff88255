"""What a worker asks of its machine: devices, memory, processes, the network, and how busy it is."""
