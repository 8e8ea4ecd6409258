package main

import "fmt"

func count(ch chan<- int) {
	for i := 1; i <= 3; i++ {
		ch <- i
	}
	close(ch)
}

func main() {
	ch := make(chan int, 1)
	go count(ch)
	for n := range ch {
		fmt.Println(n)
	}
	_, ok := <-ch
	fmt.Println("open:", ok)
}
