# Cost per stage over the number of devices. From the repository's root:
#   build/bench/simulate/simulate --csv docs/scale.csv 1000 8192 32768 131072 1048576 && gnuplot bench/simulate/scale.gnuplot
# writes docs/scale.svg and docs/scale.png.
set datafile separator ','
set logscale x
set xlabel 'devices'
set ylabel 'processor time per stage, ns'
set yrange [0:*]
set xrange [700:1500000]
set format x '%.0s %c'
set xtics ("1,000" 1000, "10,000" 10000, "100,000" 100000, "1,000,000" 1000000)
set key left top Left reverse
set grid
files = 'svg png'
do for [type in files] {
  if (type eq 'svg') { set terminal svg size 720,440 font 'sans,13' background 'white' } else { set terminal pngcairo size 1080,660 font 'sans,14' }
  set output 'docs/scale.'.type
  plot 'docs/scale.csv' using 1:5 skip 1 with linespoints lw 2 pt 7 title 'timeline', \
       '' using 1:6 skip 1 with lines lw 2 dt 2 title 'log(devices), from the first point', \
       '' using 1:7 skip 1 with linespoints lw 1 pt 5 title 'loop by hand, no causes'
  unset output
}
