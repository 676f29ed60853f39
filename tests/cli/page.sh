#!/bin/sh
# The page of a report, as a browser shows it: tables that sort, figures that are drawn, links that lead somewhere, light and
# dark, and names of strangers that stay names. Skipped where chromium is not installed.
for browser in chromium chromium-browser google-chrome; do
	command -v $browser >/dev/null 2>&1 && break
done
if ! command -v $browser >/dev/null 2>&1; then
	echo "chromium is not installed: the page of reports was not looked at: skipped"
	exit 77
fi
. "$(dirname "$0")/lib.sh"

# no network: every name is unknown, and the page may not ask
look() { # PAGE [OPTION...]
	page=$1
	shift
	HOME=$work timeout 100 $browser --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
		--user-data-dir="$work/browser" --host-resolver-rules='MAP * ~NOTFOUND' --virtual-time-budget=4000 \
		--window-size=1200,2400 "$@" "file://$work/$page" 2>browser.log
}

evil='"><img src=x onerror=document.documentElement.dataset.bad=1><script>document.documentElement.dataset.bad=2<'
base_config >t.yaml
works run t.yaml --set seed=1 --out r1
works run t.yaml --set seed=2 --out r2
cp -r r1 r3
printf '{"message": "</script><script>document.documentElement.dataset.bad=3</script>", "stage": "x"}' >r3/error.json
cp -r r1 "r4$evil"
printf '{"format": 1, "name": "<b id=bad>", "axes": {"</title><script>document.documentElement.dataset.bad=4</script>": "</script><img src=x onerror=document.documentElement.dataset.bad=5>"}, "seed": 9}' >"r4$evil/cell.json"
# a path of two folders that ends an element of script
mkdir 'x<'
cp -r r1 'x</script><b id=bad>'
unseal 'x</script><b id=bad>/run.json'
sed -i 's/"name":	"t"/"name":	"u"/' 'x</script><b id=bad>/run.json'
cp -r 'x</script><b id=bad>' y
sed -i 's/"sparsity":	0.5/"sparsity":	0.25/' y/run.json
works report r1 r2 r3 "r4$evil" y 'x</script><b id=bad>' --baseline teacher --out page

look page/report.html --dump-dom >dom || problem "the browser failed: $(tail -3 browser.log)"
contains dom 'data-ready="yes"'
checks=$((checks + 1))
grep -q 'data-bad=\|id="bad"' dom && problem "a name became a part of the page"
contains dom '&lt;img src=x onerror'
if [ -e /usr/share/javascript/chart.js/chart.min.js ]; then
	check "figures are drawn" test "$(grep -o 'data-drawn="chart"' dom | wc -l)" -ge 4
else
	contains dom 'Chart.js is not installed'
fi
if [ -e /usr/share/javascript/dygraphs/dygraph.min.js ]; then
	contains dom 'data-drawn="dygraph"'
else
	contains dom 'dygraphs is not installed'
fi
command -v gnuplot >/dev/null 2>&1 && contains dom '<img alt="Latency" src="data:image/svg+xml;base64,'
# every link has its place
grep -o 'href="#[^"]*"' dom | sort -u | sed 's/href="#//; s/"//' >links
check "there are links" test -s links
while read -r link; do
	checks=$((checks + 1))
	grep -q "id=\"$link\"" dom || problem "#$link leads nowhere"
done <links
# figures say where they come from
commit=$(awk -F'"' '/"program_commit"/ { print $4; exit }' r1/run.json)
data=$(awk -F'"' '/"data_key"/ { print substr($4, 1, 12); exit }' r1/05-evaluate/evaluation.json)
contains dom "config t.yaml, data $data, pipeline"
contains dom "($commit)"

# the first column of the sorted table
order() {
	sed -n '/id="models"/,/<\/table>/p' dom | grep -o '<tr><td><a href="#run-[0-9]*">[^<]*</a></td><td>[^<]*' | sed 's/.*<td>//'
}
look 'page/report.html#sort=bytes' --dump-dom >dom
order >up
look 'page/report.html#sort=bytes,down' --dump-dom >dom
order >down
contains dom 'aria-sort="descending"'
check "the smallest is first" test "$(head -1 up)" = quantize
check "the largest is first" test "$(head -1 down)" = teacher
check "no row is lost" test "$(sort up)" = "$(sort down)"

# light and dark are two pictures
look page/report.html --screenshot="$work/light.png" --blink-settings=preferredColorScheme=1 >/dev/null || true
look page/report.html --screenshot="$work/dark.png" --blink-settings=preferredColorScheme=0 >/dev/null || true
check "a picture" test -s light.png
check "light and dark differ" sh -c '! cmp -s light.png dark.png'
finish
