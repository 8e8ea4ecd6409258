package main

import (
	"fmt"
	"time"
)

func main() {
	a, b := make(chan int, 1), make(chan int)
	a <- 1
	for {
		select {
		case n := <-a:
			fmt.Println("a:", n)
		case b <- 2:
			fmt.Println("sent")
		case <-time.After(5 * time.Millisecond):
			fmt.Println("nothing more")
			select {
			case <-a:
			default:
				fmt.Println("and a is empty")
			}
			return
		}
	}
}
