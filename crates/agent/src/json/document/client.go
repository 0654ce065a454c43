// Keeps a map of all interfaces of the node, and prints every change.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

type Line struct {
	Seq       uint64
	Event     string
	Interface struct {
		ID   uint64
		Name string
	}
}

func main() {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", os.Args[1])
	}
	agent := &http.Client{Transport: &http.Transport{DialContext: dial, ResponseHeaderTimeout: time.Minute}}
	seq, interfaces := uint64(0), map[uint64]string{}
	for ; ; time.Sleep(time.Second) {
		address := "http://localhost/v1/watch"
		if seq != 0 {
			address += fmt.Sprint("?resume=", seq)
		}
		answer, err := agent.Get(address)
		if err != nil {
			continue
		}
		silence := time.AfterFunc(time.Minute, func() { answer.Body.Close() }) // heartbeats come every 15 seconds
		lines, ok := json.NewDecoder(answer.Body), answer.StatusCode == http.StatusOK
		for line := new(Line); ok && lines.Decode(line) == nil; line = new(Line) {
			silence.Reset(time.Minute)
			switch seq = line.Seq; line.Event {
			case "Added", "Updated":
				interfaces[line.Interface.ID] = line.Interface.Name
			case "Deleted":
				delete(interfaces, line.Interface.ID)
			case "Restart":
				seq, ok = 0, false
			}
			fmt.Println(len(interfaces), line.Event, line.Interface.Name)
		}
		answer.Body.Close()
		if seq == 0 || answer.StatusCode == http.StatusGone {
			seq, interfaces = 0, map[uint64]string{} // from the start
		}
	}
}
