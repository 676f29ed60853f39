# Prints a source with one text of one function replaced; fails if the function does not hold the text that often. Plain
# texts, no patterns. In the environment: FUNCTION (empty: the whole file), TEXT, COUNT, INSTEAD.
{ source = source $0 "\n" }
END {
	name = ENVIRON["FUNCTION"]
	text = ENVIRON["TEXT"]
	if (name && name !~ /\(/)
		name = name "("
	at = name ? index(source, name) : 1
	if (!at)
		exit 1
	before = substr(source, 1, at - 1)
	body = substr(source, at)
	end = name ? index(body "\n}\n", "\n}\n") : length(body) + 1
	after = substr(body, end)
	body = substr(body, 1, end - 1)
	from = 1
	for (n = ENVIRON["COUNT"]; n > 0; n--) {
		at = index(substr(body, from), text)
		if (!at)
			exit 1
		from += at
	}
	printf "%s%s%s%s%s", before, substr(body, 1, from - 2), ENVIRON["INSTEAD"], substr(body, from - 1 + length(text)), after
}
