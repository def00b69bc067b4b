// Command kstatus reads objects as JSON lines and prints the verdict of the real kstatus library for each:
// one line of JSON, {"status": "...", "message": "..."}, in the order of the input.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func verdict(line []byte) (map[string]string, error) {
	object := &unstructured.Unstructured{}
	// Not encoding/json: only this one makes integers of observedGeneration, which kstatus compares as such.
	if err := object.UnmarshalJSON(line); err != nil {
		return nil, err
	}
	result, err := status.Compute(object)
	if err != nil {
		return nil, err
	}
	return map[string]string{"status": result.Status.String(), "message": result.Message}, nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 4<<20)
	printer := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		answer, err := verdict(lines.Bytes())
		if err == nil {
			err = printer.Encode(answer)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "kstatus:", err)
			os.Exit(1)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}
