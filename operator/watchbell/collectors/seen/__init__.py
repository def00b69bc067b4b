"""What is in the cluster, under watch and in small typed structs: pods, workloads and their roll-outs, nodes."""
