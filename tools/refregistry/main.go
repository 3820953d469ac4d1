// refregistry serves an OCI registry with the referrers API from memory, on loopback, until it is killed.
// Our tests run against it because the packaged registries answer 404 to /referrers/.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "loopback address to listen on; port 0 takes a free one")
	referrers := flag.Bool("referrers", true, "serve the OCI 1.1 referrers API")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", listener.Addr())
	log.Fatal(http.Serve(listener, registry.New(registry.WithReferrersSupport(*referrers))))
}
