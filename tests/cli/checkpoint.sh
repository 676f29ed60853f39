# Checkpoints that are damaged: exit status 4, one line that names the file and the tensor or field.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
works run t.yaml
good=runs/t/03-prune
info=bad/checkpoint_info.json
model=bad/model.safetensors
# The damaged checkpoint as the input of a stage, by its path.
sed '/^stages/,$d' t.yaml >use.yaml
printf 'stages:\n  quantize: {input: ./bad, method: static}\n' >>use.yaml
sed -i 's/^name: t/name: use/' use.yaml

fresh() {
	rm -rf bad
	cp -r $good bad
}

# Makes the hash in the info fit the model again, so that the fault behind it is what is found.
rehash() {
	sum=$(sha256sum $model)
	sed -i "s/^\(\t\"sha256\":[ \t]*\)\"[0-9a-f]*\"/\1\"${sum%% *}\"/" $info
}

broken() { # TEXT: every command that reads checkpoints refuses it
	refuses 4 "$1" inspect bad
	refuses 4 "$1" bench bad
	refuses 4 "$1" predict bad --split validation
	refuses 4 "$1" plan use.yaml
	stops 4 "$1" evaluate $good bad
	fresh
}

# Overwrites bytes of the first element of a tensor.
poke() { # TENSOR BYTES
	head_size=$(od -An -tu8 -N8 $model | tr -d ' ')
	at=$(dd if=$model bs=1 skip=8 count="$head_size" 2>/dev/null |
		sed "s/.*\"$1\":{[^}]*\"data_offsets\":\[\([0-9]*\),.*/\1/")
	printf "$2" | dd of=$model bs=1 seek=$((8 + head_size + at)) conv=notrunc 2>/dev/null
}

fresh
sed -i 's/^\t"seed":\t3/\t"seed":\t4/' $info
broken "bad/checkpoint_info.json: was changed since it was written"
sed -i 's/\("std":[^0-9]*\)[0-9][0-9.]*/\10/' $info
broken "bad/checkpoint_info.json: was changed since it was written"

# Without the hash of itself it is the file of an older program, and its fields are checked one by one.
unseal $good/checkpoint_info.json
fresh
sed -i "s/^\t\"sha256\":/\t\"sha256\": /" $info
works inspect bad
works plan use.yaml
fresh
for value in 0 -1 '"x"' null NaN 1e999; do
	sed -i "s/\(\"std\":[^0-9]*\)[0-9][0-9.]*/\1$value/" $info
	broken "bad/checkpoint_info.json:"
done
for field in '"seed": -1' '"seed": 0.5' '"val_macro_f1": 2' '"key": "../zz"' '"threads": "1"'; do
	sed -i "/^\t${field%%:*}/d;s|^{|{$field,|" $info
	broken "bad/checkpoint_info.json: '"
done
sed -i 's/\("class_names":[^"]*\)"0", "1"/\1"0", "0"/' $info
broken "class_names: '0' is there twice"

# What it says of its data is a part of it, whoever asks for them.
sed -i 's/\("val_fraction":[^0-9]*\)[0-9][0-9.]*/\15/' $info
stops 4 "'val_fraction' must be a number in 0..0.9, found '5'" evaluate bad
stops 4 "'val_fraction' must be a number in 0..0.9, found '5'" predict bad --split validation

fresh
poke fc1.weight '\1\2\3\4'
broken "bad/model.safetensors: its SHA-256 is "
head -c 1000 $good/model.safetensors >$model
rehash
broken "bad/model.safetensors: "
: >$model
rehash
broken "bad/model.safetensors: "
sed -i 's/\("fc1.weight":{[^}]*"data_offsets":\)\[52,/\1[48,/;s/\("fc1.weight":{[^}]*"data_offsets":\)\[92,/\1[88,/' $model
rehash
broken "'fc1.weight'"
sed -i 's/"shape":\[13,64\]/"shape":[64,13]/' $model
rehash
broken "tensor 'fc1.weight' has shape (64, 13), the model needs (13, 64)"
sed -i 's/"shape":\[13,64\]/"shape":[93,64]/' $model
rehash
broken "'fc1.weight'"
sed -i 's/"shape":\[13\]/"shape":[99]/' $model
rehash
broken "'fc1.bias'"
sed -i 's/"fc1.bias"/"fc9.bias"/' $model
rehash
broken "tensor 'fc1.bias' is missing"
poke fc1.weight '\0\0\300\177'
rehash
broken "'fc1.weight'"
poke fc2.bias '\0\0\200\377'
rehash
broken "'fc2.bias'"
poke fc1.weight.mask '\0'
rehash
broken "'fc1.weight'"
poke fc2.weight.mask '\377'
broken "its SHA-256 is "

sed -i 's/^\t"format_version":.*/\t"format_version":\t2,/' $info
broken "bad/checkpoint_info.json: format_version is 2; this program reads up to 1"
sed -i '/^\t"format_version":/d' $info
broken "'format_version' is missing"
sed -i 's/"num_parameters":.*/"num_parameters":\t7,/' $info
broken "'num_parameters' does not agree with model.safetensors"
sed -i 's/"family":.*/"family":\t"cnm",/' $info
broken "bad/checkpoint_info.json:"
sed -i 's/^\t"form":.*/\t"form":\t"integer",/' $info
broken "bad/checkpoint_info.json: 'quantization'"
head -c 700 $good/checkpoint_info.json >$info
broken "bad/checkpoint_info.json:"
: >$info
broken "bad/checkpoint_info.json:"
head -c 500 /dev/urandom >$info
broken "bad/checkpoint_info.json:"
rm $info
broken "holds no checkpoint_info.json"
rm $model
broken "bad/model.safetensors: "
rm -rf bad
refuses 4 "bad: no such checkpoint" inspect bad
refuses 4 "t.yaml: not a checkpoint" inspect t.yaml
refuses 4 "runs/t: is the folder of a run; the checkpoints are the folders of its stages" inspect runs/t

# One that takes other images than the data has.
cp -r $good bad
sed -i 's/source: digits/source: idx, path: ./' use.yaml
"$tool" idx train 60 9 10
"$tool" idx t10k 30 9 10
refuses 2 "use.yaml:9:21: checkpoint ./bad takes 8 x 8 images of 1 channel; these are 9 x 9 with 1" plan use.yaml

# A finished stage that was damaged afterwards is not handed on, and not silently trained again either.
cp -r runs/t/02-student kept
head -c 1000 kept/model.safetensors >runs/t/02-student/model.safetensors
refuses 4 "stage student is finished, but damaged or unreadable (remove its folder to run it again): runs/t/02-student/model.safetensors" \
	run t.yaml
rm -r runs/t/02-student
mv runs/t/03-prune elsewhere
works run t.yaml
contains err "01-teacher: up to date"
contains err "02-student: done"
check "a stage that runs again makes the same bytes" cmp runs/t/02-student/model.safetensors kept/model.safetensors
check "and so does the one after it" cmp runs/t/03-prune/model.safetensors elsewhere/model.safetensors
# A file of more than a MiB is hashed beside the checks of what is in it, and beside the first answer: that it is another
# file comes first, whatever else is wrong with it or with what is asked, and nothing is printed.
sed 's/hidden: \[32\]/hidden: [5000]/;s/^name: t/name: large/;/student/d;/prune:/d;/evaluate/d' t.yaml >large.yaml
sed -i 's/input: prune, //;s/epochs: 2/epochs: 1/' large.yaml
works run large.yaml
good=runs/large/01-teacher
fresh
works predict bad --split validation --rows 0-3
broken_large() {
	refuses 4 "$model: its SHA-256 is " predict bad --split validation --rows 0-3
	refuses 4 "$model: its SHA-256 is " predict bad missing.png --json
	refuses 4 "$model: its SHA-256 is " predict bad --text "of a model of images"
	refuses 4 "$model: its SHA-256 is " bench bad
	fresh
}
poke fc1.weight '\000\000\300\177' # NaN
broken_large
poke fc2.weight '\001'
broken_large
truncate -s -1 $model
broken_large
truncate -s 1048576 $model # and a file that can be no model at all
printf 'not a model' | dd of=$model conv=notrunc 2>/dev/null
broken_large
poke fc1.weight '\000\000\300\177'
unseal $info
rehash
refuses 4 "tensor 'fc1.weight'" predict bad --split validation --rows 0-3
finish
