# Data sets that are missing, damaged or contradict themselves: exit status 3, one line that names the file.
. "$(dirname "$0")/lib.sh"

config() { # NAME DATA
	printf 'name: %s\nthreads: 1\ndata: {%s}\nmodels:\n  m: {family: mlp, hidden: [5]}\nstages:\n' "$1" "$2"
	printf '  train: {model: m, epochs: 1, batch_size: 16}\n'
}

# ---- IDX ----
mkdir set
"$tool" idx set/train 90 8 3
"$tool" idx set/t10k 30 8 3
config i 'source: idx, path: set, val_fraction: 0.2' >i.yaml
works run i.yaml

wrong() { # TEXT SETTING...
	text=$1
	shift
	for setting; do
		set -- "$@" --set "$setting"
		shift
	done
	refuses 3 "$text" plan i.yaml "$@"
	refuses 3 "$text" run i.yaml "$@"
}
images=set/train-images-idx3-ubyte
labels=set/train-labels-idx1-ubyte

wrong "nowhere/train-images-idx3-ubyte: no such file" data.path=nowhere
mkdir sub && cp i.yaml sub
refuses 3 "nowhere/train-images-idx3-ubyte: no such file or folder, neither in the current folder nor in sub; nor is there " \
	plan sub/i.yaml --set data.path=nowhere
wrong "set/none: no such file" data.train_images=none
: >set/empty
wrong "set/empty: not an IDX file" data.train_images=empty
head -c 3000 $images >set/cut
wrong "set/cut: truncated: 2984 of 5760 bytes after the header" data.train_images=cut
(printf 'XXXX' && tail -c +5 $images) >set/magic
wrong "set/magic: not an IDX file" data.train_images=magic
(cat $images && echo) >set/long
wrong "set/long: more data than the header's 5760 bytes" data.train_images=long
gzip -c $images >set/whole.gz
head -c $(($(wc -c <set/whole.gz) / 2)) set/whole.gz >set/half.gz
wrong "set/half.gz: " data.train_images=half.gz
cp set/whole.gz set/bad.gz
printf '\1\2\3\4' | dd of=set/bad.gz bs=1 seek=60 conv=notrunc 2>/dev/null
wrong "set/bad.gz: damaged gzip data" data.train_images=bad.gz
wrong "set/train-images-idx3-ubyte: 3 dimensions, expected 1" data.train_labels=train-images-idx3-ubyte
(printf '\0\0\10\1\0\0\0\131' && tail -c 89 $labels) >set/fewer
wrong "set/fewer: 89 labels for 90 images" data.train_labels=fewer
cp $labels set/high
printf '\377' | dd of=set/high bs=1 seek=20 conv=notrunc 2>/dev/null
wrong "set/high: label 255 occurs but label 3 does not" data.train_labels=high
(head -c 8 $labels && head -c 90 /dev/zero) >set/one
wrong "set: all samples are of one class" data.train_labels=one
(head -c 8 $labels && head -c 89 /dev/zero && printf '\1') >set/rare
wrong "set: class '1' has 1 distinct images: too few to cut off 2 for validation and test" data.train_labels=rare \
	'data.test_images=""' 'data.test_labels=""'
wrong "set/t10k-labels-idx1-ubyte: label 2 of sample 2 is not in 0..1" data.train_labels=rare
"$tool" idx set/wide 30 9 3
wrong "wide-images-idx3-ubyte: images of 9 x 9" data.test_images=wide-images-idx3-ubyte
# The test split is read before anything is trained, although evaluate alone opens it.
cp set/t10k-labels-idx1-ubyte set/over
printf '\7' | dd of=set/over bs=1 seek=20 conv=notrunc 2>/dev/null
wrong "set/over: label 7 of sample 12 is not in 0..2" data.test_labels=over

mv set away
refuses 3 "(the data that the checkpoint names; --config gives others)" predict runs/i/01-train --split validation
mv away set

# ---- images ----
mkdir -p im/cat im/dog
for k in 1 2 3 4 5 6 7 8; do
	"$tool" jpeg im/cat/$k.jpg 9 11 $k
	"$tool" jpeg im/dog/$k.jpg 9 11 $((200 + k))
done
config im 'source: images, path: im, val_fraction: 0.25, test_fraction: 0.25' >im.yaml
works run im.yaml
contains err "warning: batch_size 16 is more than the 11 training samples: an epoch is 1.45 passes over them"
cp -r im good

faulty() { # TEXT ARGUMENT...
	text=$1
	shift
	refuses 3 "$text" plan im.yaml "$@"
	rm -rf im
	cp -r good im
}

# ---- what was passed over, and images in two splits ----
cp -r im tree
mkdir tree/dog/more
"$tool" jpeg tree/dog/more/1.jpg 9 11 77
cp tree/cat/1.jpg tree/cat/1.gif
ln -s /nowhere/fox tree/fox
(cat im.yaml && echo "  evaluate: {latency: false}") >ev.yaml
over="warning: passed over: 1 file of another suffix (cat/1.gif), 1 image deeper than its class folder (dog/more/1.jpg), 1 broken link (fox)"
works plan im.yaml --set data.path=tree
contains out "$over"
works run ev.yaml --set data.path=tree --out apart/tree
contains err "$over"
contains apart/tree/results.md "Data: $over"
tr -d '\n\t ' <apart/tree/01-train/checkpoint_info.json >info
contains info '"broken_link":{"count":1,"first":["fox"]}'
contains info '"nested":{"count":1,"first":["dog/more/1.jpg"]}'
works evaluate apart/tree/01-train
contains err "$over"
works evaluate apart/tree/01-train --data tree
contains err "$over"
rm -r tree

mkdir tree
cp -r im tree/train
cp -r im tree/test
works plan im.yaml --set data.path=tree --set data.test_fraction=0.2
contains out "found: folders of splits (train: train, test: test)"
refuses 3 "tree: these folders look like splits, not like classes; path must lead into one of them" \
	evaluate apart/tree/01-train --data tree
works run ev.yaml --set data.path=tree --set data.train=train --set data.test=test --set data.test_fraction=0.2 --out apart/split
twice="of the 16 test images are also in the train split"
contains err "$twice"
works evaluate apart/split/01-train
contains err "$twice"
rm -r tree
mkfifo im/dog/0.jpg
faulty "im/dog/0.jpg: is a FIFO, a device or a socket, not a file"

head -c 400 good/dog/3.jpg >im/dog/3.jpg
faulty "im/dog/3.jpg: "

# A test image that goes bad after training: it is found when a run is planned, and does not cost the training.
# (Of each class there are others for testing, or one of training would take its place.)
sed 's/test_fraction: 0.25/test_fraction: 0.5/;$a\  evaluate: {latency: false}' im.yaml >with_test.yaml
works run with_test.yaml
works predict runs/im/01-train --split test
check "two of each class at least" [ "$(grep -c ^cat out)" -gt 1 -a "$(grep -c ^dog out)" -gt 1 ]
bad=im/$(head -n 1 out | cut -f 1)
for image in im/cat/1.jpg im/dog/8.jpg "$bad"; do
	head -c 60 "$image" >cut
	mv cut "$image"
done
count=$(find im -name "*.jpg" -size -61c | wc -l)
refuses 3 "$count of 16 images cannot be used, skip_bad allows 0: im/" plan with_test.yaml
rm -r im
cp -r good im
head -c 60 "$bad" >cut
mv cut "$bad"
refuses 3 "$bad: " run with_test.yaml
works plan with_test.yaml --set data.skip_bad=2
contains out "warning: 1 image is left out that cannot be used (data.skip_bad): $bad: "
contains out "01-train: train, up to date"
contains out "02-evaluate: evaluate, to run"
rm "$bad"
works run with_test.yaml
contains err "01-train: up to date"
contains err "02-evaluate: done"
rm -r im
cp -r good im
works run with_test.yaml --set data.held=file --set data.cache=.
contains err "MiB of pixels are in a file in .; "
contains err "01-train: up to date"
: >im/dog/3.jpg
faulty "im/dog/3.jpg: empty file"
echo 'not an image' >im/dog/3.jpg
faulty "im/dog/3.jpg: "
"$tool" jpeg im/dog/3.jpg 10 11 3
faulty "im/dog/3.jpg: image of 11 x 10 (height x width), expected 11 x 9"
rm -r im/dog
faulty "im: all samples are of one class"
rm -r im/dog im/cat
faulty "im: holds no class folders"
tar czf set/im.tar.gz good/cat good/dog
works plan im.yaml --set data.path=set --set 'data.archives=[im.tar.gz]'
head -c $(($(wc -c <set/im.tar.gz) / 2)) set/im.tar.gz >set/half.tar.gz
faulty "set/half.tar.gz: " --set data.path=set --set 'data.archives=[half.tar.gz]'
head -c 2000 /dev/urandom >set/noise.tar.gz
faulty "set/noise.tar.gz: " --set data.path=set --set 'data.archives=[noise.tar.gz]'
faulty "set/none.tar.gz: no such file" --set data.path=set --set 'data.archives=[none.tar.gz]'

index() { # TEXT LINE...
	text=$1
	shift
	printf '%s\n' "$@" >im/index.csv
	faulty "$text" --set data.index=index.csv --set data.val_fraction=0.1 --set data.test_fraction=0.2
}
index "im/index.csv:1: the header must name 'file'" 'name,label' 'cat/1.jpg,0'
index "im/index.csv: cat/1.jpg: listed twice" 'file,label' cat/1.jpg,0 cat/1.jpg,1
index "im/index.csv:2: split 'trainn' is not train" 'file,label,split' cat/1.jpg,0,trainn
index "im/index.csv:2:1: this quote is never closed" 'file,label' '"cat/1.jpg,0'
index "im/index.csv:3: label '-1' is not a whole number" 'file,label' cat/1.jpg,0 cat/2.jpg,-1
index "im/index.csv:2:1: 3 fields, but the header has 2" 'file,label' cat/1.jpg,0,0
index "im: class '1' has no sample in the validation split" file,label,split cat/1.jpg,0,train dog/1.jpg,1,train \
	cat/2.jpg,0,validation cat/3.jpg,0,test dog/3.jpg,1,test
index "cat/99.jpg" file,label,split cat/99.jpg,0,train dog/1.jpg,1,train cat/2.jpg,0,validation dog/2.jpg,1,validation \
	cat/3.jpg,0,test dog/3.jpg,1,test
: >im/index.csv
faulty "im/index.csv: empty" --set data.index=index.csv
faulty "im/none.csv: no such file" --set data.index=none.csv
finish
