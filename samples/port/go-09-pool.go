package main

import (
	"fmt"
	"sync"
)

type buffer [4096]byte

var pool = sync.Pool{New: func() any {
	fmt.Println("made")
	return new(buffer)
}}

func main() {
	b := pool.Get().(*buffer)
	pool.Put(b)
}
