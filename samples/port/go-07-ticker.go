package main

import (
	"fmt"
	"time"
)

func main() {
	end := time.After(2 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 1; n <= 3; n++ {
		select {
		case <-tick.C:
			fmt.Println("tick", n)
		case <-end:
			return
		}
	}
}
