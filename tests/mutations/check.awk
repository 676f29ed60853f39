# Whether each line of mutations.txt fits: five fields, a text that stands once in its file, another one instead, tests
# that exist. Run in the root of the tree.
BEGIN { FS = " [|] " }
function bad(what) {
	print FILENAME ":" FNR ": " what
	wrong = 1
}
function source(file, line, all) {
	if (file in sources)
		return
	while ((getline line < file) > 0)
		all = all line "\n"
	close(file)
	sources[file] = all
}
function exists(test, folder, name, file, found) {
	if (test in known)
		return known[test]
	folder = name = test
	sub(/_.*/, "", folder)
	sub(/^[a-z]*_/, "", name)
	sub(/:.*/, "", name) # some of its claims
	sub(/_(SSE41|AVX2|AVX2_VNNI|AVX512_CORE)$/, "", name) # on a lesser CPU
	file = folder == "cli" ? "tests/cli/" name ".sh" : "tests/" folder "/test_" name ".c"
	if (test == "ranks_many")
		file = "tests/ranks/many.sh"
	found = (getline < file) > 0
	close(file)
	return known[test] = found
}
/^#/ || /^$/ { next }
{
	lines++
	if (NF != 5) {
		bad(NF " fields")
		next
	}
	source($1)
	at = index(sources[$1], $2)
	if (!at)
		bad($1 " has no '" $2 "'")
	else if (index(substr(sources[$1], at + 1), $2))
		bad($1 " has '" $2 "' more than once")
	if ($2 == $3)
		bad("'" $2 "' is no change")
	if (seen[$1 FS $2 FS $3]++)
		bad("a change that is there already")
	if ($5 ~ /^same/ && $5 !~ /^same: .*; /)
		bad("no reason why it changes nothing")
	count = split($4, tests, " ")
	if (!count)
		bad("no test")
	for (i = 1; i <= count; i++)
		if (!exists(tests[i]))
			bad("there is no test " tests[i])
}
END {
	if (wrong)
		print "After a change of a source its lines here follow: the same mistake in the new text, or another one."
	print lines + 0 " mutations"
	exit wrong
}
