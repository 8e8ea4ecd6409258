// SPDX-License-Identifier: MIT

// Goroutines: peer.h says what a peer's program is.  GOMAXPROCS is -w.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	n int
	k int
)

func result(metric string, value float64, unit string) {
	fmt.Printf("%s\t%.6g\t%s\n", metric, value, unit)
}

func each(metric string, start time.Time, n int) {
	result(metric, float64(time.Since(start).Nanoseconds())/float64(n), "ns")
}

func check(holds bool, what string) {
	if !holds {
		fmt.Fprintln(os.Stderr, "not so:", what)
		os.Exit(1)
	}
}

func memory(field string) float64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, field) {
			kb, _ := strconv.Atoi(strings.Fields(line)[1])
			return float64(kb) * 1024
		}
	}
	return 0
}

func cpu() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func yield() {
	var done sync.WaitGroup
	start := time.Now()
	for i := 0; i < 2; i++ {
		done.Add(1)
		go func() {
			for i := 0; i < n; i++ {
				runtime.Gosched()
			}
			done.Done()
		}()
	}
	done.Wait()
	each("yield", start, 2*n)
}

func spawn() {
	done := make(chan bool)
	start := time.Now()
	for i := 0; i < n; i++ {
		go func() { done <- true }()
		<-done
	}
	each("spawn_join", start, n)
	start = time.Now()
	for i := 0; i < n/1000; i++ {
		var all sync.WaitGroup
		all.Add(1000)
		for j := 0; j < 1000; j++ {
			go all.Done()
		}
		all.Wait()
	}
	each("spawn_1000", start, n/1000*1000)
}

//go:noinline
func dive(depth int) int {
	if depth > 1 {
		return dive(depth-1) + 1
	}
	for i := 0; i < n; i++ {
		runtime.Gosched()
	}
	return 1
}

func suspend() {
	depth := 1
	for _, metric := range []string{"suspend_1", "suspend_10",
		"suspend_100", "suspend_1000"} {
		var done sync.WaitGroup
		start := time.Now()
		for i := 0; i < 2; i++ {
			done.Add(1)
			go func() {
				check(dive(depth) == depth, "the depth")
				done.Done()
			}()
		}
		done.Wait()
		each(metric, start, 2*n)
		depth *= 10
	}
}

func pingpong() {
	there, back := make(chan int), make(chan int)
	go func() {
		for v := range there {
			back <- v + 1
		}
	}()
	v := 0
	start := time.Now()
	for i := 0; i < n; i++ {
		there <- v
		v = <-back
	}
	each("pingpong", start, 2*n)
	check(v == n, "every ball came back")
}

func sumOfMessages(n int) int {
	sum := 0
	for i := 0; i < n; i++ {
		sum += i & 0xff
	}
	return sum
}

func buffered() {
	c := make(chan int32, 128)
	sums := make(chan int, k)
	var senders sync.WaitGroup
	start := time.Now()
	for i := 0; i < k; i++ {
		senders.Add(1)
		go func() {
			for i := 0; i < n/k; i++ {
				c <- int32(i & 0xff)
			}
			senders.Done()
		}()
		go func() {
			sum := 0
			for v := range c {
				sum += int(v)
			}
			sums <- sum
		}()
	}
	senders.Wait()
	close(c)
	sum := 0
	for i := 0; i < k; i++ {
		sum += <-sums
	}
	each(fmt.Sprintf("buffered_%d", k), start, n)
	check(sum == k*sumOfMessages(n/k), "the sum of the messages")
}

func selecting() {
	var c [4]chan int32
	for i := range c {
		c[i] = make(chan int32)
		go func(c chan int32) {
			for i := 0; i < n/4; i++ {
				c <- int32(i & 0xff)
			}
		}(c[i])
	}
	sum := 0
	start := time.Now()
	for i := 0; i < n/4*4; i++ {
		var v int32
		select {
		case v = <-c[0]:
		case v = <-c[1]:
		case v = <-c[2]:
		case v = <-c[3]:
		}
		sum += int(v)
	}
	each("select_4", start, n/4*4)
	check(sum == 4*sumOfMessages(n/4), "the sum of the messages")
}

func mutex() {
	var m sync.Mutex
	count := 0
	start := time.Now()
	for i := 0; i < n; i++ {
		m.Lock()
		count++
		m.Unlock()
	}
	each("mutex_free", start, n)
	var done sync.WaitGroup
	count = 0
	start = time.Now()
	for i := 0; i < k; i++ {
		done.Add(1)
		go func() {
			for i := 0; i < n/k; i++ {
				m.Lock()
				count++
				runtime.Gosched()
				m.Unlock()
			}
			done.Done()
		}()
	}
	done.Wait()
	each("mutex_busy", start, n)
	check(count == n/k*k, "every lock counts")
}

func sieve() {
	start := time.Now()
	c := make(chan int32)
	go func(out chan int32) {
		for i := int32(2); ; i++ {
			out <- i
		}
	}(c)
	prime := int32(0)
	for i := 0; i < n; i++ {
		prime = <-c
		d := make(chan int32)
		go func(in, out chan int32, prime int32) {
			for v := range in {
				if v%prime != 0 {
					out <- v
				}
			}
		}(c, d, prime)
		c = d
	}
	result("sieve", time.Since(start).Seconds(), "s")
	check(n != 5000 || prime == 48611, "the 5000th is 48611")
}

func skynetNode(out chan int, number, size int) {
	if size == 1 {
		out <- number
		return
	}
	c := make(chan int)
	for i := 0; i < 10; i++ {
		go skynetNode(c, number+i*(size/10), size/10)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-c
	}
	out <- sum
}

func skynet() {
	start := time.Now()
	c := make(chan int)
	go skynetNode(c, 0, n)
	sum := <-c
	result("skynet", time.Since(start).Seconds(), "s")
	result("skynet_peak", memory("VmHWM:")/1e6, "MB")
	check(sum == n*(n-1)/2, "the sum of the leaves")
}

func parked() {
	rss, tables := memory("VmRSS:"), memory("VmPTE:")
	c := make(chan int)
	var started sync.WaitGroup
	started.Add(n)
	start := time.Now()
	for i := 0; i < n; i++ {
		go func() {
			started.Done()
			<-c
		}()
	}
	started.Wait()
	each("parked_create", start, n)
	result("parked_rss", (memory("VmRSS:")-rss)/float64(n), "B")
	result("parked_tables", (memory("VmPTE:")-tables)/float64(n), "B")
}

func sleepers() {
	var done sync.WaitGroup
	done.Add(n)
	start, used := time.Now(), cpu()
	for i := 0; i < n; i++ {
		go func(state uint32) {
			for i := 0; i < k; i++ {
				state = state*1664525 + 1013904223
				time.Sleep(time.Duration(1+(state>>8)%1000) *
					time.Millisecond)
			}
			done.Done()
		}(uint32(i)*2654435761 + 1)
	}
	done.Wait()
	result("sleepers", cpu()-used, "s")
	result("sleepers_wall", time.Since(start).Seconds(), "s")
}

func compute(workers int) float64 {
	runtime.GOMAXPROCS(workers)
	values := make([]struct {
		x uint64
		_ [7]uint64
	}, n)
	var done sync.WaitGroup
	start := time.Now()
	for i := range values {
		done.Add(1)
		go func(v *uint64) {
			x := *v
			for i := 0; i < k; i++ {
				x = x*6364136223846793005 + 1442695040888963407
			}
			*v = x
			done.Done()
		}(&values[i].x)
	}
	done.Wait()
	return time.Since(start).Seconds()
}

func steal() {
	one := compute(1)
	result("steal", one/compute(2), "x")
}

func echo() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err == nil, "a listener")
	fmt.Printf("port %d\n", l.Addr().(*net.TCPAddr).Port)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			buffer := make([]byte, 4096)
			for {
				got, err := c.Read(buffer)
				if errors.Is(err, io.EOF) || got == 0 {
					break
				}
				if _, err = c.Write(buffer[:got]); err != nil {
					break
				}
			}
			c.Close()
		}()
	}
}

// http serves what samples/apps/httpd serves at /api/time.
func serveHTTP() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err == nil, "a listener")
	fmt.Printf("port %d\n", l.Addr().(*net.TCPAddr).Port)
	http.HandleFunc("/api/time", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		now := time.Now().UTC()
		fmt.Fprintf(w, "%s\n", now.Format("2006-01-02T15:04:05Z"))
	})
	http.Serve(l, nil)
}

func main() {
	questions := map[string]func(){
		"yield": yield, "spawn": spawn, "suspend": suspend,
		"pingpong": pingpong, "buffered": buffered,
		"select": selecting, "mutex": mutex, "sieve": sieve,
		"skynet": skynet, "parked": parked, "sleepers": sleepers,
		"steal": steal, "echo": echo,
		"http": serveHTTP,
	}
	if len(os.Args) < 2 {
		for name := range questions {
			fmt.Println(name)
		}
		return
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	workers := flags.Int("w", 1, "GOMAXPROCS")
	flags.IntVar(&n, "n", 100000, "how much work")
	flags.IntVar(&k, "k", 1, "its second size")
	flags.Parse(os.Args[2:])
	runtime.GOMAXPROCS(*workers)
	question := questions[os.Args[1]]
	if question == nil {
		os.Exit(77)
	}
	question()
}
