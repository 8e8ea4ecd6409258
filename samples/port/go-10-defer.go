package main

import (
	"context"
	"fmt"
	"time"
)

func flush(context.Context) { fmt.Println("flushed") }

func work(ctx context.Context) error {
	defer fmt.Println("closed")
	defer flush(context.WithoutCancel(ctx))
	select {
	case <-time.After(time.Hour):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	fmt.Println(work(ctx) == context.Canceled)
}
