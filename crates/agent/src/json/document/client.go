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

// follow reads one connection and returns the number to go on from; 0 starts again.
func follow(agent *http.Client, seq uint64, interfaces map[uint64]string) uint64 {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	silence := time.AfterFunc(time.Minute, cancel) // heartbeats come every 15 seconds
	request, _ := http.NewRequestWithContext(ctx, "GET", "http://localhost/v1/watch", nil)
	if seq != 0 {
		request.URL.RawQuery = fmt.Sprint("resume=", seq)
	}
	answer, err := agent.Do(request)
	if err != nil {
		return seq
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusGone {
		return 0
	}
	for lines := json.NewDecoder(answer.Body); answer.StatusCode == http.StatusOK; silence.Reset(time.Minute) {
		var line Line
		if lines.Decode(&line) != nil {
			break
		}
		switch line.Event {
		case "Added", "Updated":
			interfaces[line.Interface.ID] = line.Interface.Name
		case "Deleted":
			delete(interfaces, line.Interface.ID)
		case "Restart":
			return 0
		}
		seq = line.Seq
		fmt.Println(len(interfaces), line.Event, line.Interface.Name)
	}
	return seq
}

func main() {
	agent := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", os.Args[1])
	}}}
	interfaces := map[uint64]string{}
	for seq := uint64(0); ; time.Sleep(time.Second) {
		if seq = follow(agent, seq, interfaces); seq == 0 {
			interfaces = map[uint64]string{}
		}
	}
}
