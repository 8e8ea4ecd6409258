package main

import (
	"context"
	"fmt"
	"time"
)

type userKey struct{}

func query(ctx context.Context) error {
	fmt.Println("for", ctx.Value(userKey{}))
	select {
	case <-time.After(time.Hour):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func main() {
	ctx := context.WithValue(context.Background(), userKey{}, "ada")
	ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	if query(ctx) == context.DeadlineExceeded {
		fmt.Println("too late")
	}
}
