#!/bin/sh
# Folders of images of mixed sizes: what is refused, what is resized, and that the model keeps how.
. "$(dirname "$0")/lib.sh"

# Three classes of 12 images each: one value each, by which they are told apart, of sizes of their own.
mkdir -p mixed/cat mixed/dog mixed/owl other/cat other/dog
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	"$tool" jpeg mixed/cat/$i.jpg $((8 + i)) $((20 - i)) $((i + 10))
	"$tool" jpeg mixed/dog/$i.jpg $((20 - i)) 12 $((i + 110))
	"$tool" jpeg mixed/owl/$i.jpg 15 $((9 + 2 * i)) $((i + 210))
done
cat >mixed.yaml <<'END'
name: mixed
seed: 2
data: {source: images, path: mixed, test_fraction: 0.25, val_fraction: 0.25, size: [10, 8]}
models: {m: {family: mlp, hidden: [8]}}
stages:
  train: {model: m, epochs: 20, batch_size: 8}
  evaluate: {latency: false}
END
sed 's/, size: .*/}/' mixed.yaml >no_size.yaml
sed 's/, size: .*/, size: [10, 8], resize: stretch}/' mixed.yaml >stretch.yaml

refuses 3 "mixed/cat/10.jpg: image of 10 x 18 (height x width)" plan no_size.yaml
contains err "data.size: 9 resizes all images to one size"
works plan mixed.yaml
contains out "converted: 36 images resized (cat/1.jpg, cat/10.jpg, cat/11.jpg, cat/12.jpg, cat/2.jpg, ...)"
works run mixed.yaml --out run
contains err "converted: 36 images resized"
contains run/results.md "Data: converted: 36 images resized"
tr -d '\n\t ' <run/01-train/checkpoint_info.json >info
contains info '"resized":{"count":36,'
contains info '"resize":"crop"'

# What the model was not trained on comes to it in the same way.
"$tool" jpeg other/dog/a.jpg 31 77 115
"$tool" jpeg other/cat/b.jpg 70 9 15
works predict run/01-train other/dog/a.jpg
contains out "dog"
contains err "converted: 1 image resized (other/dog/a.jpg)"
works predict run/01-train other --json
contains err "converted: 2 images resized (other/cat/b.jpg, other/dog/a.jpg)"
check "one line" [ "$(wc -l <err)" -eq 1 ]
works predict run/01-train "$source_dir/tests/data/images/turned.jpg"
contains err "image turned by its EXIF orientation"
works predict run/01-train other/cat/b.jpg
contains out "cat"
# The bytes of an image on standard input, and names of files that begin like one.
for image in rgb.bmp rgb.tiff rgb.webp turned.jpg wide.png; do
	image=$source_dir/tests/data/images/$image
	"$program" predict run/01-train "$image" >of_file 2>err || continue # built without a library
	"$program" predict run/01-train - <"$image" >out 2>err || :
	check "$image as bytes" [ "$(cut -f 2- out)" = "$(cut -f 2- of_file)" ]
done
cp other/cat/b.jpg BM
cp other/cat/b.jpg II.jpg
cp other/cat/b.jpg RIFF1
printf 'BM\nRIFF1\nII.jpg\nBM' >names
"$program" predict run/01-train - <names >out 2>err || :
check "names that begin like images" [ "$(cut -f 1 out | tr '\n' ' ')" = "BM RIFF1 II.jpg BM " ]
works evaluate run/01-train --data other
contains err "converted: 2 images resized (cat/b.jpg, dog/a.jpg)"
works evaluate run/01-train --data mixed
# As an archive, and with files that cannot be used.
tar cf other.tar -C other cat dog
works evaluate run/01-train --data other.tar
gzip -c other.tar >OTHER.TGZ
works evaluate run/01-train --data OTHER.TGZ
contains err "01-train: test accuracy 1.0000"
contains err "(n = 2)"
echo 'no image' >other/dog/bad.jpg
refuses 3 "other/dog/bad.jpg: " evaluate run/01-train --data other
works evaluate run/01-train --data other --skip-bad 1
contains err "1 image is left out"
refuses 2 "--skip-bad, --text-column, --pair-column, --label and --labels need --data" evaluate run/01-train --skip-bad 1
refuses 2 "--skip-bad is data.skip_bad in a config" evaluate run/01-train --data no_size.yaml --skip-bad 1
echo 'text,label' >texts.csv
refuses 2 "--skip-bad is of images" evaluate run/01-train --data texts.csv --skip-bad 1
rm other/dog/bad.jpg
works evaluate run/01-train --config no_size.yaml
contains err "converted: 36 images resized"
stops 4 "takes images that are resized by 'crop'; data.resize is stretch" evaluate run/01-train --config stretch.yaml

# A model of images that had its size takes no others, until it is trained on resized ones.
for k in cat dog owl; do
	mkdir -p exact/$k
	for i in 1 2 3 4 5 6 7 8; do
		"$tool" jpeg exact/$k/$i.jpg 8 10 $((i + $(printf %d "'$k") % 7 * 35))
	done
done
sed 's/path: mixed/path: exact/' no_size.yaml >exact.yaml
works run exact.yaml --out exact_run
contains exact_run/01-train/checkpoint_info.json '"none"'
refuses 3 "image of 77 x 31 (height x width), expected 10 x 8" predict exact_run/01-train other/dog/a.jpg
sed 's/family: mlp, hidden: .8./pretrained: exact_run\/01-train/' mixed.yaml >again.yaml
works run again.yaml --out again
works predict again/01-train other/dog/a.jpg
stops 2 "data.size: [10, 8] resizes image files to that" plan again.yaml --set data.size=9

# Grey models of colour images.
works run mixed.yaml --set data.channels=1 --out grey
contains err "36 colour images made grey"
works predict grey/01-train other/cat/b.jpg
contains out "cat"
works evaluate grey/01-train --data other
contains err "2 colour images made grey"

# Options of no effect, and of no meaning.
refuses 2 "resize" plan no_size.yaml --set data.resize=crop
refuses 2 "size has 3 values; it is one side, or height and width" plan mixed.yaml --set 'data.size=[1, 2, 3]'
refuses 2 "channels is 2; images have 1 (grey) or 3 (colour)" plan mixed.yaml --set data.channels=2
refuses 2 "size" plan mixed.yaml --set data.size=0
finish
