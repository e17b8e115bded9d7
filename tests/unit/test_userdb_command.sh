#!/bin/bash
# scripts/userdb and scripts/userdbpw: the command line of Courier, and what must hold of the file: owner and mode,
# other lines, several writers at once, a writer that is killed.
userdb=${srcdir:-.}/scripts/userdb
userdbpw=./scripts/userdbpw
dir=$(mktemp -d "${TMPDIR:-/tmp}/userdb_command.XXXXXX") || exit 99
trap 'rm -rf "$dir"' EXIT
failed=0
file=$dir/userdb
export USERDB_FILE="$file"
TAB=$(printf '\t')
SHA='{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ='

bad() {
	echo "line $1: $2"
	failed=1
}
# same LINE WHAT EXPECTED
same() { [ "$2" = "$3" ] || bad "$1" "got: $2
expected: $3"; }
# content LINE EXPECTED
content() { same "$1" "$(cat "$file")" "$2"; }
# refused LINE ARGS...: exits with an error, says something, and the file is as before
refused() {
	line=$1
	shift
	before=$(cat "$file")
	if out=$("$userdb" "$@" 2>&1 </dev/null); then bad "$line" "not refused: $*"; fi
	[ -n "$out" ] || bad "$line" "refused without a word: $*"
	same "$line" "$(cat "$file")" "$before"
	[ ! -e "$dir/.tmp.userdb" ] || bad "$line" "left .tmp.userdb"
}

# set, unset, del, -show
"$userdb" bob@example.com set home=/srv/bob uid=1001 gid=1001 || bad $LINENO "set"
content $LINENO "bob@example.com${TAB}home=/srv/bob|uid=1001|gid=1001"
same $LINENO "$(stat -c %a "$file")" 640
"$userdb" bob@example.com set uid=1002 options=mailhost=servera.example.com,disablepop3=1 || bad $LINENO "set"
content $LINENO "bob@example.com${TAB}home=/srv/bob|uid=1002|gid=1001|options=mailhost=servera.example.com,disablepop3=1"
echo "$SHA" | "$userdb" bob@example.com set systempw || bad $LINENO "set from standard input"
same $LINENO "$("$userdb" -show bob@example.com | tail -1)" "systempw=$SHA"
"$userdb" bob@example.com unset options systempw nothing || bad $LINENO "unset"
content $LINENO "bob@example.com${TAB}home=/srv/bob|uid=1002|gid=1001"
"$userdb" -f "$file" ann@example.com set home=/srv/ann uid=1003 gid=1003 || bad $LINENO "-f"
same $LINENO "$("$userdb" -show | tr '\n' ' ')" "bob@example.com ann@example.com "
same $LINENO "$("$userdb" -show -f "$file" ann@example.com | tr '\n' ' ')" "home=/srv/ann uid=1003 gid=1003 "
"$userdb" bob@example.com del || bad $LINENO "del"
content $LINENO "ann@example.com${TAB}home=/srv/ann|uid=1003|gid=1003"
"$userdb" -show bob@example.com 2>/dev/null && bad $LINENO "-show of nobody"
printf '%s\n' "$SHA" "/srv/other" | "$userdb" ann@example.com set systempw home || bad $LINENO "two values from standard input"
content $LINENO "ann@example.com${TAB}home=/srv/other|uid=1003|gid=1003|systempw=$SHA"

# other lines stay as they are
cat >"$file" <<-END
	# comment

	x@example.com${TAB}nonsense|home=/x|home=/y|uid=1|gid=1
	no tab at all
	1003=${TAB}x@example.com
	# x@example.com${TAB}a=b
	x@example.com${TAB}home=/again
END
printf 'last%shome=/last' "$TAB" >>"$file"
"$userdb" x@example.com set home=/z || bad $LINENO "set"
"$userdb" new@example.com set home=/n uid=2 gid=2 || bad $LINENO "set"
content $LINENO "# comment

x@example.com${TAB}nonsense|home=/z|uid=1|gid=1
no tab at all
1003=${TAB}x@example.com
# x@example.com${TAB}a=b
x@example.com${TAB}home=/again
last${TAB}home=/last
new@example.com${TAB}home=/n|uid=2|gid=2"
"$userdb" x@example.com del || bad $LINENO "del"
same $LINENO "$(grep -c 'x@example.com' "$file")" 2
for name in 'a.b@example.com' 'a+b@example.com' "o'neil" 'ü@exämple.com' 'a b' '$HOME' '(x)'; do
	"$userdb" -f "$file" "$name" set home=/n uid=2 gid=2 || bad $LINENO "name $name"
	same $LINENO "$("$userdb" -show -f "$file" "$name" | head -1)" home=/n
done
"$userdb" -show -f "$file" 'axb@example.com' 2>/dev/null && bad $LINENO "a name taken as a pattern"

# what is refused
refused $LINENO
refused $LINENO bob
refused $LINENO bob set
refused $LINENO bob unset
refused $LINENO bob del x
refused $LINENO bob frobnicate
refused $LINENO -f
refused $LINENO bob set systempw
refused $LINENO bob set 'a=b|c'
refused $LINENO bob set 'a|b=c'
refused $LINENO bob set "a=b
c=d"
refused $LINENO bob set "a=b${TAB}c"
refused $LINENO bob set "a=$(printf '\001')"
refused $LINENO bob set "=x"
refused $LINENO bob set home=relative
refused $LINENO bob set uid=0
refused $LINENO bob set gid=0
refused $LINENO bob set uid=root
refused $LINENO bob set uid=-1
refused $LINENO bob set uid=4294967295
refused $LINENO bob set systempw=secret
refused $LINENO "b${TAB}ob" set home=/x
refused $LINENO "b|ob" set home=/x
refused $LINENO "#bob" set home=/x
refused $LINENO "" set home=/x
refused $LINENO "$(printf 'b\nob')" set home=/x
refused $LINENO 1001= set home=/x
refused $LINENO folder/bob set home=/x
refused $LINENO bob set "x=$(head -c 70000 /dev/zero | tr '\0' x)"
"$userdb" bob set systempw='$6$abcdefgh$x' home=/x uid=1 gid=1 hmac-md5pw=00 || bad $LINENO "hashes"

# a folder of files
mkdir "$dir/folder" "$dir/folder/sub"
export USERDB_FILE="$dir/folder"
"$userdb" default/info set home=/x uid=1 gid=1 || bad $LINENO "folder/name"
"$userdb" sub/file/info set home=/y uid=1 gid=1 || bad $LINENO "sub/folder/name"
same $LINENO "$(cat "$dir/folder/default")" "info${TAB}home=/x|uid=1|gid=1"
same $LINENO "$("$userdb" -show sub/file)" info
same $LINENO "$("$userdb" -show sub/file info | head -1)" home=/y
"$userdb" -show 2>/dev/null && bad $LINENO "-show of a folder"
"$userdb" info set home=/x 2>/dev/null && bad $LINENO "a name without a file in a folder"
"$userdb" ../userdb/info set home=/x 2>/dev/null && bad $LINENO "a way out of the folder"
"$userdb" .hidden/info set home=/x 2>/dev/null && bad $LINENO "a file that nobody reads"
export USERDB_FILE="$file"

# owner, group, mode; a link stays a link
chmod 0600 "$file"
[ "$(id -u)" = 0 ] && chown 12345:12346 "$file"
owner=$(stat -c %u:%g "$file")
ln -s userdb "$dir/link"
"$userdb" -f "$dir/link" ann set home=/x uid=1 gid=1 || bad $LINENO "through a link"
[ -L "$dir/link" ] || bad $LINENO "the link is gone"
same $LINENO "$("$userdb" -show ann | head -1)" home=/x
same $LINENO "$(stat -c %u:%g:%a "$file")" "$owner:600"

# several at once lose nothing
: >"$file"
for who in 1 2 3 4; do
	(
		for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
			"$userdb" "u$who-$i" set home=/x uid=1 gid=1 || echo "failed"
			"$userdb" shared set "f$who=$i" home=/x uid=1 gid=1 || echo "failed"
		done
	) >"$dir/out$who" 2>&1 &
done
wait
same $LINENO "$(cat "$dir"/out?)" ""
same $LINENO "$(grep -c '^u[1-4]-[0-9]' "$file")" 48
same $LINENO "$("$userdb" -show shared | grep -c '^f[1-4]=12$')" 4

# a full disk, a read-only folder, a kill at any time: the old file or the new one
i=0
while [ $i -lt 3000 ]; do
	i=$((i + 1))
	echo "user$i@example.com${TAB}home=/srv/mail/user$i|uid=1000|gid=1000|systempw=$SHA"
done >"$file"
before=$(cksum <"$file")
(ulimit -f 16; "$userdb" new set home=/x uid=1 gid=1) >/dev/null 2>&1 && bad $LINENO "a full disk"
same $LINENO "$(cksum <"$file")" "$before"
[ ! -e "$dir/.tmp.userdb" ] || bad $LINENO "left .tmp.userdb"
i=0
while [ $i -lt 12 ]; do
	i=$((i + 1))
	"$userdb" "killed$i" set home=/x uid=1 gid=1 &
	pid=$!
	sleep 0.0$((i + 1))
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
	same $LINENO "$(grep -c '^user[0-9]*@.*=$' "$file")" 3000
	same $LINENO "$(tail -c 1 "$file" | od -An -c | tr -d ' ')" '\n'
done 2>/dev/null
"$userdb" after set home=/x uid=1 gid=1 || bad $LINENO "after a kill"
[ ! -e "$dir/.tmp.userdb" ] || bad $LINENO "left .tmp.userdb"

# userdbpw: vectors made by Courier's own, and hashes that userdb takes
same $LINENO "$(echo secret | $userdbpw -hmac-md5)" cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56
same $LINENO "$(echo secret | $userdbpw -hmac-sha1)" \
	091e0f4c6cb5277ee2beb639a60d0831b5c8adcdaee172433df3e96ba4f00fb1b6a490c3929d2034
same $LINENO "$(echo secret | $userdbpw -hmac-sha256)" \
	5a84072aab37d22275b139adf7a92564c7f674be98e77d991f6f689d29e0524572804f31b042016804d3dea2f4e991a21b1c8906be161594b202fb74afc8ceb3
same $LINENO "$(echo tanstaaftanstaaf | $userdbpw -hmac-md5)" d06d4e1b26fccaa4b0b61801132340a354b21152711fb604ca3e035e7015116b
same $LINENO "$(echo tanstaaftanstaaf | $userdbpw -hmac-sha1)" \
	72724befb173b1ee5f79c09801b9b15e11d805fe02b49c1d1d00921723b52bcb862c04fa52876446
k100=kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
same $LINENO "$(echo $k100 | $userdbpw -hmac-md5)" 3ae21d35bcb420cc10d678a30813dfaff1c856d356b2c5f8429dc6087392415f
same $LINENO "$(echo $k100 | $userdbpw -hmac-sha256)" \
	6c3b7d76c928b03e6d4a8f89b8eac1c0c7892066c8376651d922706fd35cf07d143569e21ce9422db2f2cfe05d3ff136e73493cfe88293a1cbd80867653aeb8e
for option in '' -md5 -sha256 -sha512 -bcrypt -yescrypt -ssha; do
	# shellcheck disable=SC2086
	echo secret | $userdbpw $option | "$userdb" hashed set systempw 2>/dev/null || bad $LINENO "userdbpw $option"
done
case $(echo secret | $userdbpw -md5) in '$1$'*) ;; *) bad $LINENO "-md5" ;; esac
case $(echo secret | $userdbpw -sha512) in '$6$'*) ;; *) bad $LINENO "-sha512" ;; esac
[ "$(echo secret | $userdbpw)" != "$(echo secret | $userdbpw)" ] || bad $LINENO "the same salt twice"
for input in '' "$(printf 'a\001b')"; do
	printf '%s\n' "$input" | $userdbpw >/dev/null 2>&1 && bad $LINENO "a password that cannot be"
done
$userdbpw </dev/null >/dev/null 2>&1 && bad $LINENO "no password"
echo secret | $userdbpw -unknown >/dev/null 2>&1 && bad $LINENO "an unknown option"
before=$(cksum <"$file")
$userdbpw </dev/null 2>/dev/null | "$userdb" hashed set systempw 2>/dev/null && bad $LINENO "a hash that was not made"
same $LINENO "$(cksum <"$file")" "$before"

exit $failed
