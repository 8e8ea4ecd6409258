package main

import (
	"fmt"
	"sync"
)

func square(n int, out *int) {
	*out = n * n
}

func main() {
	var wg sync.WaitGroup
	var out [3]int
	for i := range out {
		wg.Add(1)
		go func() {
			defer wg.Done()
			square(i+2, &out[i])
		}()
	}
	wg.Wait()
	fmt.Println(out[0], out[1], out[2])
}
