// Package main does nothing until it is told to end. It holds a pod's network
// namespace open: the "pause" image of a test node, made without a registry.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	<-end
}
