# One scene of interfaces: a client's host and an IOC's host, each a network namespace, joined by a cable. To be run as
#
#     unshare --user --map-root-user --net --pid --fork --kill-child --mount-proc sh interfaces.sh PYTHON CANTER SCENE
#
# so that nothing outside of it is touched, and everything in it ends with it. Prints lines `SECONDS WHO WHAT`: what the
# scene does (`scene`), what libca reports (`libca`), and what `canter monitor` does (`canter`).
set -u
python=$1 canter=$2 scene=$3
here=$(dirname "$0")
# Seconds of silence until a server is asked whether it lives.
export EPICS_CA_CONN_TMO=2
unset EPICS_CA_ADDR_LIST EPICS_CA_AUTO_ADDR_LIST EPICS_CA_NAME_SERVERS EPICS_CA_SERVER_PORT EPICS_CA_REPEATER_PORT
told=$(mktemp)
trap 'rm -f "$told"' EXIT
# Waits until a line is there, so many times, or so many seconds.
until_told() {
    for tenth in $(seq $((10 * $2))); do
        [ "$(grep -c "$1" "$told")" -ge "${3:-1}" ] && return
        sleep 0.1
    done
}

ip link set lo up
unshare --net sleep 300 &
there=$!
# Until it is in its namespace.
while [ "$(readlink /proc/$there/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ioc() { nsenter --target $there --net "$@"; }
ip link add cable type veth peer name far
ip link set far netns $there
ioc ip link set lo up
ioc ip address add 10.77.0.2/24 broadcast + dev far
ioc ip link set far up
up() { ip address add 10.77.0.1/24 broadcast + dev cable; ip link set cable up; }
[ $scene = late ] || up
ioc "$python" -u "$here/interfaces.py" ioc >> "$told" 2>&1 &
"$canter" repeater > /dev/null &
until_told "IOC Running" 60

begin=$(date +%s.%N)
say() { echo "$(date +%s.%N) $begin" | awk '{printf "%.2f ", $1 - $2}' >> "$told"; echo "scene $*" >> "$told"; }
"$canter" monitor --json scene:count 2>&1 | "$python" "$here/interfaces.py" canter $begin >> "$told" &
"$python" "$here/interfaces.py" libca $begin >> "$told" &
case $scene in
    loss)
        until_told "libca value" 30
        until_told "canter value" 30
        say down
        ip link set cable down
        sleep 11
        until_told "libca disconnected" 60
        until_told "canter disconnected" 60
        say up
        ip link set cable up
        until_told "libca connected" 60 2
        until_told "canter connected" 60 2
        ;;
    address)
        until_told "libca value" 30
        until_told "canter value" 30
        say address
        ip address delete 10.77.0.1/24 dev cable
        ip address add 10.77.0.5/24 broadcast + dev cable
        until_told "libca disconnected" 60
        until_told "canter disconnected" 60
        ;;
    late)
        until_told "canter not_found" 30
        until_told "libca started" 30
        say up
        up
        until_told "canter connected" 60
        # libca never asks there; that is told, and not waited for any longer.
        sleep 10
        ;;
esac
grep -E "^[0-9.]+ (scene|libca|canter) " "$told"
