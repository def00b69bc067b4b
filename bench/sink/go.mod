module watchbell.dev/bench/sink

go 1.24.0
