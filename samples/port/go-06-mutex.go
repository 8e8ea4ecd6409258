package main

import (
	"fmt"
	"sync"
)

var (
	mu   sync.Mutex
	once sync.Once
	sum  int
)

func add(n int) {
	once.Do(func() { fmt.Println("opened once") })
	mu.Lock()
	defer mu.Unlock()
	sum += n
}

func main() {
	var wg sync.WaitGroup
	for i := 1; i <= 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			add(i)
		}()
	}
	wg.Wait()
	fmt.Println(sum)
}
