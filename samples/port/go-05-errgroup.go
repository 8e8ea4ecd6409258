package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

func main() {
	g, ctx := errgroup.WithContext(context.Background())
	g.Go(func() error {
		return errors.New("disk failed")
	})
	g.Go(func() error {
		<-ctx.Done()
		fmt.Println("the other was told to end")
		return nil
	})
	fmt.Println("group:", g.Wait())
}
